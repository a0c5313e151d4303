/**
 * The process that is fed damaged files: takes { folder } messages, analyses a short text with the model there, and answers
 * with what came of it. What must not happen is that it dies or answers with an error that is no refusal.
 */
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';

const engine = new Engine();
const TEXT = 't1 t2 t3 t4 t5 t2 t3 t9 The cat sat.';

export interface Outcome {
  kind: 'analysed' | 'refused' | 'error';
  message: string;
  peakRssMiB: number;
}

async function attempt(folder: string): Promise<Outcome> {
  const done = (kind: Outcome['kind'], message: string): Outcome => ({
    kind,
    message,
    peakRssMiB: process.resourceUsage().maxRSS / 1024,
  });
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
    return done('analysed', '');
  } catch (error) {
    if (error instanceof RefusedError) return done('refused', error.message);
    return done('error', error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    await engine.request('analysis/dispose', { id: 'fuzz' });
  }
}

process.on('message', ({ folder }: { folder: string }) => {
  void attempt(folder).then(outcome => process.send!(outcome));
});

void engine
  .request('initialize', { device: 'cpu', memoryLimitMiB: 1024 })
  .then(() => process.send!({ ready: true }));
