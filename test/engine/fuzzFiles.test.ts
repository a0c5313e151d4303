import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { readSafetensors, writeSafetensors } from '../../engine/export/safetensors';
import { loadTokenizer } from '../../engine/model/tokens/tokenizer';
import { damageJson } from '../fuzz/json';
import { mutate } from '../fuzz/mutate';
import { seeded, type Random } from '../fuzz/random';
import * as definitions from '../fixtures/tokenizers';

/** Cases per kind of file: FUZZ=2000 for a long run; FUZZ_FROM sets the first seed. */
const CASES = Number(process.env.FUZZ ?? 40);
const FROM = Number(process.env.FUZZ_FROM ?? 0);

/** Damaged files are refused with one sentence, or work; nothing else. */
describe('fuzzing of tokenizers and tensors', function () {
  this.timeout(CASES * 2000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fuzz-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function each(work: (random: Random) => Promise<void>, cases = CASES): Promise<void> {
    const outcomes = { worked: 0, refused: 0 };
    for (const seed of Array.from({ length: cases }, (_, i) => FROM + i)) {
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
    await each(async random => {
      const definition = all[Math.floor(random() * all.length)]!;
      await writeFile(join(folder, 'tokenizer.json'), damagedTokenizer(definition, random));
      const tokenizer = await loadTokenizer(folder);
      for (const text of ['The cat sat on the mat 😀 é.', 'x', '日本 <s> [CLS] a\u0301']) {
        const { ids, start, end } = await tokenizer.encode(text, 100);
        for (let i = 0; i < ids.length; i++) {
          assert.ok(0 <= start[i]! && start[i]! <= end[i]! && end[i]! <= text.length);
        }
      }
      tokenizer.dispose();
    });
  });

  it('survives damaged tensors', async () => {
    const path = join(folder, 'x.safetensors');
    await writeSafetensors(path, {
      q: { type: 'float32', data: new Float32Array(60).fill(1), dims: [2, 10, 3] },
      ids: { type: 'int64', data: BigInt64Array.of(1n, 2n, 3n), dims: [3] },
    });
    const whole = readFileSync(path);
    await each(async random => {
      await writeFile(path, mutate(whole, random() * 2 ** 32));
      await readSafetensors(path, 2 ** 20);
    }, CASES * 5);
  });
});

/** The definition with damage in its structure (its vocabulary mostly whole, or little would be left to test). */
function damagedTokenizer(definition: object, random: Random): string {
  if (random() < 0.3)
    return Buffer.from(mutate(Buffer.from(JSON.stringify(definition)), random() * 2 ** 32)).toString();
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
