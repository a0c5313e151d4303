/** `analysis/patch`: each head's output from one text put into the run of another of equal length. */
import type { Analysis } from './analysis';
import { attendAsKnown, attendDense, effectOf } from './changedRun';
import { RefusedError, refused, told } from '../errors';
import type { ModelOutput } from '../model/cut/cutModel';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { PatchParams, PatchedHead, Patching } from '../../shared/protocol/engine';
import { changeOf } from '../../shared/uncertainty';
import { argmax, sum } from '../statistics';

type Given = Pick<PatchParams, 'at' | 'answers'>;

/** The text runs once; behind each core, that run goes on once for each head. */
export async function patch(
  analysis: Analysis,
  other: Analysis,
  { at = analysis.tokens.ids.length - 1, answers }: Given,
  tokenizer: Tokenizer,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Patching> {
  refuse(analysis, other, at);
  const contexts: Float32Array[] = [];
  const rowAt = (output: ModelOutput) => output.read(at, at + 1);
  const ofOther = attendAsKnown(other, signal);
  const asKnown = attendAsKnown(analysis, signal);
  const otherRow = await rowAt(
    await other.run(async (info, input) => (contexts[info.core] = await ofOther(info, input)), { signal }),
  );
  const ownRow = await rowAt(await analysis.run(asKnown, { signal }));
  const { own, other: others } = answers ?? { own: argmax(ownRow), other: argmax(otherRow) };
  const missing = [own, others].find(id => !(Number.isInteger(id) && id >= 0 && id < ownRow.length));
  if (missing !== undefined) throw new RefusedError(told`The vocabulary has no token of the id ${missing}.`);
  const differenceOf = (logits: Float32Array) => logits[others]! - logits[own]!;
  const differences = { own: differenceOf(ownRow), other: differenceOf(otherRow) };
  const whole = differences.other - differences.own;
  const heads: PatchedHead[] = [];
  const all = sum(analysis.model.info.cores.map(core => core.heads));
  const dense = attendDense(analysis, signal);
  await analysis.run(asKnown, {
    signal,
    onContext: async ({ core, heads: count }, context, goOn) => {
      const { layer } = analysis.core(core).result.info;
      for (let head = 0; head < count; head++) {
        onProgress(heads.length / all);
        const patched = withHead(context, contexts[core]!, count, head);
        const output = await goOn(patched, dense);
        const { perToken } = await effectOf(analysis, output, signal);
        const difference = differenceOf(await rowAt(output));
        const restored = whole === 0 ? null : (difference - differences.own) / whole;
        heads.push({ core, layer, head, loss: changeOf({ perToken }), difference, restored });
      }
    },
  });
  const { tokens } = await tokenizer.describe(Int32Array.of(own, others));
  const [ownText = '', otherText = ''] = tokens.text;
  const named = { own: { id: own, text: ownText }, other: { id: others, text: otherText } };
  return { at, answers: named, differences, heads };
}

function refuse(analysis: Analysis, other: Analysis, at: number): void {
  const [own, others] = [analysis.tokens.ids.length, other.tokens.ids.length];
  if (analysis.predicts !== 'next' || analysis.target) throw refused('patchDecoders');
  if (analysis.standIn || other.standIn) throw refused('patchDense');
  if (analysis.model !== other.model) throw refused('patchModel');
  if (own !== others) throw refused('patchLength', own, others);
  if (!(Number.isInteger(at) && at >= 0 && at < own)) throw refused('noToken', at);
}

/** A core's context [heads, tokens, valueDim] with one head of another. */
function withHead(context: Float32Array, from: Float32Array, heads: number, head: number): Float32Array {
  const size = context.length / heads;
  const changed = context.slice();
  changed.set(from.subarray(head * size, (head + 1) * size), head * size);
  return changed;
}
