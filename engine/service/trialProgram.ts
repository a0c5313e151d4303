/** The process of a trial: loads and proves one model, tells how it went, and ends. */
import { denseOutput } from '../attention/kernels/dense';
import { OutOfMemoryError, RefusedError } from '../errors';
import { fileFacts } from '../model/fileFacts';
import { loadModel } from '../model/load';
import { neverCancelled } from '../runtime/cancellation';
import { createRuntime } from '../runtime/ort';
import { watch } from '../runtime/watch';
import type { TrialAnswer, TrialTask } from './modelTrial';

const tell = (answer: TrialAnswer, then = () => undefined as void): void => void process.send!(answer, then);

async function load({ files, memoryLimitMiB, stepSeconds, inspect }: TrialTask): Promise<TrialAnswer> {
  watch.start({ stepSeconds });
  watch.allow(memoryLimitMiB);
  try {
    const model = await watch.during(async () => {
      if (inspect) tell({ facts: fileFacts(files) });
      const runtime = await createRuntime('cpu');
      const context = { runtime, signal: neverCancelled, own: {} };
      return loadModel(files, runtime, {
        signal: neverCancelled,
        onProgress: progress => tell({ progress }),
        attend: (_, input) => denseOutput(input, context),
      });
    });
    return { end: 'loaded', info: model.info };
  } catch (error) {
    if (!(error instanceof RefusedError)) return { end: 'other' };
    return { refused: error.message, ofMemory: error instanceof OutOfMemoryError };
  }
}

process.once('message', (task: TrialTask) => {
  void load(task).then(answer => tell(answer, () => process.exit(0)));
});
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
