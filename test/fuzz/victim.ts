/**
 * The process that is fed damaged files: takes { folder } messages, analyses a short text with the model there, and answers
 * with what came of it. What must not happen is that it answers with an error that is no refusal.
 */
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import { watch } from '../../engine/runtime/watch';

const engine = new Engine();
const TEXT = 't1 t2 t3 t4 t5 t2 t3 t9 The cat sat.';

export interface Outcome {
  kind: 'analysed' | 'refused' | 'error';
  message: string;
}

async function attempt(folder: string): Promise<Outcome> {
  try {
    await engine.analyze({
      id: 'fuzz',
      model: folder,
      text: TEXT,
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

process.on('message', ({ folder }: { folder: string }) => {
  void watch.during(() => attempt(folder)).then(outcome => process.send!(outcome));
});
process.on('disconnect', () => process.exit(0));

watch.start();
void engine
  .request('initialize', { device: 'cpu', memoryLimitMiB: Number(process.argv[2]) })
  .then(() => process.send!({ ready: true }));
