/** `analysis/patch`: each head's output from one text put into the run of another of equal length. */
import type { Analysis } from './analysis';
import { attendDense } from './changedRun';
import { lastOf, PatchAnswers, refuseTexts, type Given } from './patchAnswers';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { PatchedHead, Patching } from '../../shared/protocol/engine';
import { sum } from '../statistics';

/** The text runs once; behind each core, that run goes on once for each head. */
export async function patch(
  analysis: Analysis,
  other: Analysis,
  given: Given,
  tokenizer: Tokenizer,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Patching> {
  refuseTexts(analysis, other, given.at ?? lastOf(analysis));
  const contexts: Float32Array[] = [];
  const ofOther = attendDense(other, signal);
  const dense = attendDense(analysis, signal);
  const otherOutput = await other.run(
    async (info, input) => (contexts[info.core] = await ofOther(info, input)),
    { signal },
  );
  const ownOutput = await analysis.run(dense, { signal });
  const answers = await PatchAnswers.of(analysis, ownOutput, otherOutput, given, tokenizer, signal);
  const heads: PatchedHead[] = [];
  const all = sum(analysis.model.info.cores.map(core => core.heads));
  await analysis.run(dense, {
    signal,
    onContext: async ({ core, heads: count }, context, goOn) => {
      const { layer } = analysis.core(core).result.info;
      for (let head = 0; head < count; head++) {
        onProgress(heads.length / all);
        const patched = withHead(context, contexts[core]!, count, head);
        heads.push({ core, layer, head, ...(await answers.judge(await goOn(patched, dense))) });
      }
    },
  });
  return { ...answers.texts, heads };
}

/** A core's context [heads, tokens, valueDim] with one head of another. */
function withHead(context: Float32Array, from: Float32Array, heads: number, head: number): Float32Array {
  const size = context.length / heads;
  const changed = context.slice();
  changed.set(from.subarray(head * size, (head + 1) * size), head * size);
  return changed;
}
