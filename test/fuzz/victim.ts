/**
 * The process that is fed damaged files: analyses a text with the model of each task, and answers with what came of it.
 * What must not happen is that it answers with an error that is no refusal.
 */
import { Engine } from '../../engine/engine';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { RefusedError } from '../../engine/errors';
import { loadModel } from '../../engine/model/load';
import { TOKENIZER_LIMITS } from '../../engine/model/tokens/tokenizerChild';
import { resolveModel } from '../../engine/model/source/source';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { watch } from '../../engine/runtime/watch';
import type { Task } from './cases';

const engine = new Engine();
const runtime = createRuntime('cpu');

export interface Outcome {
  kind: 'analysed' | 'refused' | 'error';
  message: string;
}

async function attempt({ folder, text, graphFirst }: Task): Promise<Outcome> {
  try {
    if (graphFirst) await tryGraph(folder);
    await engine.analyze({
      id: 'fuzz',
      model: folder,
      text,
      device: 'cpu',
      maxTokens: 32,
      mechanisms: [],
      propagate: false,
    });
    return { kind: 'analysed', message: '' };
  } catch (error) {
    if (error instanceof RefusedError) return { kind: 'refused', message: error.message };
    return {
      kind: 'error',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    };
  } finally {
    await engine.request('analysis/dispose', { id: 'fuzz' });
  }
}

/** Throws the refusal; what else goes wrong, the engine must put into words itself. */
async function tryGraph(folder: string): Promise<void> {
  try {
    const context = { runtime: await runtime, signal: neverCancelled, own: {} };
    const model = await loadModel(await resolveModel(folder), context.runtime, {
      signal: neverCancelled,
      attend: (_, input) => denseOutput(input, context),
    });
    await model.dispose();
  } catch (error) {
    if (error instanceof RefusedError) throw error;
  }
}

process.on('message', (task: Task) => {
  void watch.during(() => attempt(task)).then(outcome => process.send!(outcome));
});
process.on('disconnect', () => process.exit(0));

/** Shorter than the user's, so that many cases without an end can be tried: what matters is that there is one. */
const STEP_SECONDS = 10;
TOKENIZER_LIMITS.milliseconds = 10_000;

watch.start({ stepSeconds: STEP_SECONDS });
void engine
  .request('initialize', { device: 'cpu', memoryLimitMiB: Number(process.argv[2]) })
  .then(() => process.send!({ ready: true }));
