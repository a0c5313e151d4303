import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import { readSafetensors, writeSafetensors } from '../../engine/export/safetensors';
import { loadTokenizer } from '../../engine/model/tokenizer';
import { damageBytes, damageJson, seeded, type Random } from '../fixtures/mutate';
import * as definitions from '../fixtures/tokenizers';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');
/**
 * Cases per kind of file. FUZZ=2000 for a long run; FUZZ_FROM sets the first seed. A library that ends the process fails the
 * whole run: the file `seed` beside the damaged one says where.
 */
const CASES = Number(process.env.FUZZ ?? 60);
const FROM = Number(process.env.FUZZ_FROM ?? 0);

/** Seeds that once ended the process or gave nonsense. */
const KEPT = { tokenizers: [993, 11861], models: [] as number[], tensors: [] as number[] };

/** Damaged files are refused with one sentence, or work; nothing else. */
describe('fuzzing', function () {
  this.timeout(CASES * 2000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fuzz-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function each(
    kept: readonly number[],
    work: (random: Random) => Promise<void>,
    cases = CASES,
  ): Promise<void> {
    const outcomes = { worked: 0, refused: 0 };
    for (const seed of [...kept, ...Array.from({ length: cases }, (_, i) => FROM + i)]) {
      await writeFile(join(folder, 'seed'), String(seed));
      try {
        await work(seeded(seed));
        outcomes.worked++;
      } catch (error) {
        const { message, stack } = error as Error;
        assert.ok(error instanceof RefusedError, `seed ${seed}: ${stack}`);
        assert.match(message, /^\S[^\n]*$/, `seed ${seed}: ${message}`);
        assert.ok(message.length < 500, `seed ${seed}: ${message}`);
        outcomes.refused++;
      }
    }
    assert.ok(outcomes.worked > 0 && outcomes.refused > 0, JSON.stringify(outcomes));
  }

  it('survives damaged tokenizers', async () => {
    const all = Object.values(definitions);
    await each(
      KEPT.tokenizers,
      async random => {
        const definition = all[Math.floor(random() * all.length)]!;
        await writeFile(join(folder, 'tokenizer.json'), damagedTokenizer(definition, random));
        const tokenizer = await loadTokenizer(folder);
        for (const text of ['The cat sat on the mat 😀 é.', 'x', '日本 <s> [CLS] a\u0301']) {
          const { ids, start, end } = await tokenizer.encode(text, 100);
          for (let i = 0; i < ids.length; i++) {
            assert.ok(0 <= start[i]! && start[i]! <= end[i]! && end[i]! <= text.length);
          }
        }
      },
      CASES * 5,
    );
  });

  it('survives damaged tensors', async () => {
    const path = join(folder, 'x.safetensors');
    await writeSafetensors(path, {
      q: { type: 'float32', data: new Float32Array(60).fill(1), dims: [2, 10, 3] },
      ids: { type: 'int64', data: BigInt64Array.of(1n, 2n, 3n), dims: [3] },
    });
    const whole = readFileSync(path);
    await each(
      KEPT.tensors,
      async random => {
        await writeFile(path, damageBytes(whole, random));
        await readSafetensors(path, 2 ** 20);
      },
      CASES * 5,
    );
  });

  it('survives damaged models', async function () {
    if (!existsSync(FIXTURES)) {
      console.log('      SKIPPED: no ../shared/fixtures/models beside the repository');
      return this.skip();
    }
    const names = readdirSync(FIXTURES).sort();
    await cp(join(FIXTURES, names[0]!, 'tokenizer.json'), join(folder, 'tokenizer.json'));
    await each(KEPT.models, async random => {
      const name = names[Math.floor(random() * names.length)]!;
      const whole = readFileSync(join(FIXTURES, name, 'onnx/model.onnx'));
      await writeFile(join(folder, 'model.onnx'), damageBytes(whole, random));
      const engine = new Engine();
      try {
        await engine.request('models/load', { ref: join(folder, 'model.onnx'), device: 'cpu' });
      } finally {
        await engine.dispose();
      }
    });
    const peak = process.resourceUsage().maxRSS / 1024;
    assert.ok(peak < 2048, `peak memory ${peak} MiB`);
  });
});

/** The definition with damage in its structure (its vocabulary mostly whole, or little would be left to test). */
function damagedTokenizer(definition: object, random: Random): string {
  if (random() < 0.3)
    return Buffer.from(damageBytes(Buffer.from(JSON.stringify(definition)), random)).toString();
  const { model, ...rest } = definition as { model: Record<string, unknown> };
  const { vocab, merges, ...options } = model;
  const damagedVocab = random() < 0.2 ? damageJson(vocab, random, 0.01) : vocab;
  return JSON.stringify({
    ...(damageJson(rest, random, 0.005 + 0.06 * random() ** 2) as object),
    model: {
      ...(damageJson(options, random, 0.03) as object),
      vocab: damagedVocab,
      ...(merges !== undefined && { merges: random() < 0.3 ? damageJson(merges, random, 0.05) : merges }),
    },
  });
}
