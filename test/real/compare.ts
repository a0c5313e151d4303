import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { openSafetensors, readSafetensors } from '../../engine/export/safetensors';
import { floats, type Tensor } from '../../engine/runtime/tensor';
import { argmax } from '../../engine/statistics';
import { runCli } from '../fixtures/cli';

export interface Form {
  model: string;
  form: string;
  folder: string;
}

/** What an analysis of the text says beside what PyTorch says of the same weights in float32. */
export interface Comparison {
  /** Largest difference of any attention probability. */
  attentions: number;
  /** Largest difference of the output over the largest output. */
  output: number;
  /** Mean loss by PyTorch and by the analysis, nats per token; null = the model predicts nothing. */
  loss: { theirs: number; own: number } | null;
  /** Share of compared rows with the same most likely token; null as above. */
  sameToken: number | null;
  /** Difference of cut and uncut model, relative, as the mark tells it. */
  verified: { maxRelDiff: number; holds: boolean; tokens: number };
}

/** Forms that are rounded: their attentions differ from those of float32 by what the rounding does. */
export const isRounded = (form: string): boolean => /16|int8|int4/.test(form);

/** The models that make.py made in a folder. */
export function formsIn(folder: string): Form[] {
  const named = (at: string) => readdirSync(at, { withFileTypes: true }).filter(entry => entry.isDirectory());
  return named(folder).flatMap(({ name: model }) =>
    named(join(folder, model))
      .map(({ name: form }) => ({ model, form, folder: join(folder, model, form) }))
      .filter(found => existsSync(join(found.folder, 'model.onnx'))),
  );
}

/** Analyses the text with one form. @throws RefusedError with the command line's sentence, where it refuses. */
export async function compareWithTruth(cli: string, { folder }: Form): Promise<Comparison> {
  const out = mkdtempSync(join(tmpdir(), 'real-'));
  try {
    const home = join(folder, '..');
    const [tensors, json] = [join(out, 'own.safetensors'), join(out, 'own.json')];
    const analyze = ['analyze', join(home, 'text.txt'), '--model', folder, '--device', 'cpu'];
    const kept = ['--tensors', tensors, '--weights', '--json', json];
    const { code, stderr } = await runCli(cli, [...analyze, ...kept], { cwd: out });
    if (code === 3) throw new RefusedError(stderr.trim());
    if (code !== 0) throw new Error(stderr.trim());
    const { verified } = JSON.parse(await readFile(json, 'utf8')) as Pick<Comparison, 'verified'>;
    return { ...(await differences(tensors, join(home, 'truth.safetensors'))), verified };
  } finally {
    rmSync(out, { recursive: true });
  }
}

async function differences(own: string, theirs: string): Promise<Omit<Comparison, 'verified'>> {
  const truth = await readSafetensors(theirs);
  const found = await openSafetensors(own);
  try {
    const ids = integers(truth.ids!);
    const rows = integers(truth.rows!);
    const tokens = integers(await found.read('tokens'));
    if (String(ids) !== String(tokens)) throw new Error('the tokenizer gives other tokens');
    const [layers, heads] = truth.attentions!.dims as [number, number];
    const expected = floats(truth.attentions!);
    let attentions = 0;
    for (let layer = 0; layer < layers; layer++) {
      const weights = floats(await found.read(`core.${layer}.weights`));
      for (let head = 0; head < heads; head++)
        rows.forEach((row, r) => {
          const at = ((layer * heads + head) * rows.length + r) * ids.length;
          const from = (head * ids.length + row) * ids.length;
          for (let key = 0; key < ids.length; key++)
            attentions = largest(attentions, weights[from + key]! - expected[at + key]!);
        });
    }
    const output = await rowsOf(found.entries.has('logits') ? 'logits' : 'last_hidden_state');
    const width = truth.output!.dims[1]!;
    const reference = floats(truth.output!);
    const row = (values: Float32Array, r: number) => values.subarray(r * width, (r + 1) * width);
    let [difference, scale] = [0, 0];
    rows.forEach((at, r) => {
      const [a, b] = [row(output, at), row(reference, r)];
      for (let i = 0; i < width; i++) {
        difference = largest(difference, a[i]! - b[i]!);
        scale = largest(scale, b[i]!);
      }
    });
    const predicts = truth.loss !== undefined;
    const same = rows.filter((at, r) => argmax(row(output, at)) === argmax(row(reference, r))).length;
    return {
      attentions,
      output: difference / scale,
      loss: predicts ? { theirs: mean(floats(truth.loss!)), own: mean(await rowsOf('loss')) } : null,
      sameToken: predicts ? same / rows.length : null,
    };
  } finally {
    await found.close();
  }

  async function rowsOf(name: string): Promise<Float32Array> {
    return floats(await found.read(name));
  }
}

const integers = (tensor: Tensor): number[] => Array.from(tensor.data as ArrayLike<number | bigint>, Number);
/** NaN is the largest of all. */
const largest = (so: number, difference: number): number =>
  Math.abs(difference) <= so ? so : Number.isNaN(difference) ? Infinity : Math.abs(difference);
const mean = (values: Float32Array): number => values.reduce((sum, v) => sum + v, 0) / values.length;
