import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { floats } from '../../engine/runtime/tensor';
import type { AnalysisSummary, Intervention } from '../../shared/protocol/engine';
import { close } from '../oracle/close';
import { setting } from '../support/settings';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');
const TEXT = Array.from({ length: 45 }, (_, t) => `t${(t * 37) % 500}`).join(' ');
const MASK = 511;

describe('loss of hidden tokens', function () {
  this.timeout(120_000);
  let folder: string;
  const engine = new Engine(() => undefined);
  let summary: AnalysisSummary;
  const start = (id: string, model: string) =>
    engine.request('analysis/start', {
      ...{ id, model, text: TEXT, device: 'cpu', maxTokens: null, propagate: true },
      mechanisms: [setting('local', { window: 3 }), setting('local', { window: 1000 })],
    } as const);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'masked-'));
    await cp(join(FIXTURES, 'bert-eager-script'), folder, { recursive: true });
    const file = join(folder, 'tokenizer.json');
    const tokenizer = JSON.parse(await readFile(file, 'utf8')) as { added_tokens: object[] };
    tokenizer.added_tokens = [
      {
        id: MASK,
        content: '[MASK]',
        special: true,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      },
    ];
    await writeFile(file, JSON.stringify(tokenizer));
    summary = await start('a', folder);
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  /** Each token's loss in the run that hides it, in float64; `logits` of a whole text. */
  async function lossesOf(logits: (ids: Int32Array) => Promise<Float32Array>): Promise<number[]> {
    const { ids } = summary.tokens;
    const losses: number[] = [];
    for (let first = 0; first < 7; first++) {
      const hidden = ids.slice();
      for (let token = first; token < ids.length; token += 7) hidden[token] = MASK;
      const all = await logits(hidden);
      const width = all.length / ids.length;
      for (let token = first; token < ids.length; token += 7) {
        const row = Array.from(all.subarray(token * width, (token + 1) * width));
        const top = Math.max(...row);
        const sum = row.reduce((total, x) => total + Math.exp(x - top), 0);
        losses[token] = top + Math.log(sum) - row[ids[token]!]!;
      }
    }
    return losses.slice(1);
  }

  it('is that of the uncut model reading the text seven times, each token hidden once', async () => {
    const { model } = engine.analysis('a');
    const expected = await lossesOf(async ids => floats(await model.runUncut(ids)));
    assert.ok(summary.loss!.masked);
    close(summary.loss!.perToken, expected, 1e-4);
    const mean = expected.reduce((sum, x) => sum + x, 0) / expected.length;
    assert.ok(Math.abs(summary.loss!.mean - mean) < 1e-5);
  });

  it('tells what a mechanism costs, and nothing of one that keeps everything', async () => {
    const [local, whole] = summary.mechanisms;
    assert.ok(Math.abs(whole!.deltaLoss!) < 1e-6 && Math.abs(local!.deltaLoss!) > 1e-4);
    const analysis = engine.analysis('a');
    const run = async (ids: Int32Array) => {
      const attend = async (core: number, input: Parameters<typeof denseOutput>[0]) =>
        (await analysis.attend(local!.setting, core, input, neverCancelled)).output;
      const output = await analysis.model.run(ids, ({ core }, input) => attend(core, input), {
        signal: neverCancelled,
      });
      return output.read(0, output.rows);
    };
    const expected = await lossesOf(run);
    close(
      local!.deltaLossPerToken!,
      expected.map((loss, t) => loss - summary.loss!.perToken[t]!),
      1e-5,
    );
  });

  it('of every head ablated is that of a run without it, and an intervention in a later layer sees hidden tokens', async () => {
    const { measure, heads } = await engine.request('analysis/ablate', { id: 'a' });
    assert.equal(measure, 'loss');
    const analysis = engine.analysis('a');
    const { core, head, zero } = heads.at(-1)!;
    const expected = await lossesOf(async ids => {
      const output = await analysis.model.run(
        ids,
        async (info, input) => {
          const context = await denseOutput(input, analysis.context(neverCancelled));
          const size = context.length / info.heads;
          return info.core === core ? context.fill(0, head * size, (head + 1) * size) : context;
        },
        { signal: neverCancelled },
      );
      return output.read(0, output.rows);
    });
    const interventions: Intervention[] = [{ kind: 'head', core, head }];
    const { effect } = await engine.request('analysis/intervene', { id: 'a', interventions });
    close(
      effect.perToken,
      expected.map((loss, t) => loss - summary.loss!.perToken[t]!),
      1e-5,
    );
    assert.ok(Math.abs(effect.delta - zero.delta) < 1e-6 && zero.delta !== 0);
  });

  it('without a mask token, or without a head, the analysis says why there is none', async () => {
    const none = await start('b', join(FIXTURES, 'bert-eager-script'));
    assert.equal(none.loss, null);
    assert.ok(
      none.notes.some(note => /names no mask token/.test(note)),
      none.notes.join(),
    );
    assert.ok(none.mechanisms[0]!.deltaOutput! > 0 && none.mechanisms[0]!.deltaLoss === null);
  });

  it('serves plans', async () => {
    const found = await engine.request('analysis/plan', {
      ...{ id: 'a', budget: 0.4, mechanisms: ['local'], maxRuns: 6 },
    });
    assert.equal(found.effect.measure, 'loss');
  });
});
