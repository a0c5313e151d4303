/**
 * What a real model loses on random words, said four times, without each of the heads that look back for words there (previous-token,
 * duplicate and induction heads), as a table of docs/results.md: `probe.ts MODEL [--print]`. `heads --probe` does the same for all heads;
 * of a large model these few take minutes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { mean } from '../../engine/statistics';
import { putResults, signed, table } from '../../scripts/lib/results';
import { seededUniform } from '../../shared/random';
import { changeOf } from '../../shared/uncertainty';

const [WORDS, REPEATS, SEED] = [128, 4, 1];
const ROLES = ['previous', 'duplicate', 'induction'];

/** Words that the tokenizer has as one token each, behind a space. */
function wordsOf(model: string): string[] {
  const { model: own } = JSON.parse(readFileSync(join(model, 'tokenizer.json'), 'utf8')) as {
    model: { vocab: Record<string, number> };
  };
  const uniform = seededUniform(SEED);
  const words = Object.keys(own.vocab).filter(word => /^Ġ[a-z]{3,}$/.test(word));
  const drawn = new Set<string>();
  while (drawn.size < WORDS) drawn.add(words[Math.floor(uniform() * words.length)]!.slice(1));
  return [...drawn];
}

async function main([model]: string[]): Promise<void> {
  if (!model) throw new Error('usage: probe.ts MODEL [--print]');
  const text = ` ${Array.from({ length: REPEATS }, () => wordsOf(model))
    .flat()
    .join(' ')}`;
  const engine = new Engine();
  try {
    const id = 'probe';
    const { tokens, loss, cores } = await engine.request('analysis/start', {
      ...{ id, model, text, device: 'cpu', maxTokens: null, mechanisms: [], propagate: false },
    } as const);
    const count = WORDS * REPEATS;
    if (tokens.ids.length !== count) throw new Error(`${tokens.ids.length} tokens instead of ${count}`);
    // Entry t is the loss of token t + 1.
    const said = (perToken: Float32Array) => perToken.subarray(WORDS - 1);
    const chosen = cores.flatMap(({ info, heads }) =>
      heads.flatMap(({ head, roles: [best] }) =>
        best && ROLES.includes(best.role) ? [{ core: info.core, layer: info.layer, head, best }] : [],
      ),
    );
    const found = [];
    for (const one of chosen) {
      const { effect } = await engine.request('analysis/intervene', {
        ...{ id, interventions: [{ kind: 'head', core: one.core, head: one.head }] },
      });
      found.push({ ...one, change: changeOf({ perToken: said(effect.perToken) }) });
      process.stderr.write(`${found.length} of ${chosen.length} heads\n`);
    }
    const rows = found
      .sort((a, b) => b.change.delta - a.change.delta)
      .map(({ layer, head, best, change: { delta, low, high } }) => [
        ...[`${layer}.${head}`, `${best.role} ${best.score.toFixed(2)}`],
        ...[signed(delta), `${signed(low)} to ${signed(high)}`],
      ]);
    const losses = [loss!.perToken.subarray(0, WORDS - 1), said(loss!.perToken)].map(part => mean(part));
    putResults('real-probe', [
      `Loss the first time ${losses[0]!.toFixed(3)} nats per token, of words said before ${losses[1]!.toFixed(3)}.`,
      table(['head', 'first role', 'loss of words said before, without it', '95 % over tokens'], rows),
    ]);
  } finally {
    await engine.dispose();
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
