import { refusalOf } from '../runtime/complaint';
import { refuseUnlessHeld } from '../runtime/memory';
import { watch } from '../runtime/watch';
import type { Runtime } from '../runtime/runtime';
import type { CutModel } from './cut/cutModel';
import { type GraphFiles } from './describe';
import { joinEmbeddings, joinModels, takesEmbeddings } from './rewrite/joinModels';
import { planCut } from './cut/cutPlan';
import { boundTo } from './onnx/graphFiles';
import { readSkeleton, type Skeleton } from './onnx/skeleton';
import { LoadedModel } from './loadedModel';
import type { ProofOptions } from './verify/prove';
import { say } from '../../shared/sentences';

/**
 * Loads a model, cuts it at its attention cores and proves the cut model against the uncut one in ONNX Runtime.
 * Throws RefusedError with one sentence when the file is unsound, has no attention that is understood, or fails the proof.
 */
export async function loadModel(
  files: GraphFiles,
  runtime: Runtime,
  options: ProofOptions,
): Promise<CutModel> {
  const { signal } = options;
  options.onProgress?.(say('readingModel'));
  const decoder = readSkeleton(files.onnx);
  const skeleton = joined(files, decoder);
  refuseUnlessHeld(skeleton.fileBytes, files.name);
  const forget = watch.expectWeights(skeleton.fileBytes);
  const onProgress = (step: string) => {
    watch.beginStep(skeleton.fileBytes);
    options.onProgress?.(step);
  };
  try {
    onProgress(say('lookingForAttention'));
    const own = boundTo(files, runtime);
    const plan = await planCut(skeleton, files.config ?? {}, own, signal, files.attention);
    onProgress(say('provingCores', plan.cores.length));
    return await LoadedModel.load(files, skeleton, plan, own, { ...options, onProgress }, forget);
  } catch (error) {
    forget();
    throw refusalOf(error);
  } finally {
    watch.endSteps();
  }
}

/** The decoder with what it was exported apart from: its encoder, or its table of embeddings. */
function joined({ encoder, embedding }: GraphFiles, decoder: Skeleton): Skeleton {
  if (encoder !== undefined) return joinModels(readSkeleton(encoder), decoder);
  const apart = embedding !== undefined && takesEmbeddings(decoder);
  return apart ? joinEmbeddings(readSkeleton(embedding), decoder) : decoder;
}
