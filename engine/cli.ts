/**
 * The command line, in two processes: ONNX Runtime blocks the thread it runs on and may end the process on a file that it
 * does not stand, so the work is done by a child (cli/program.ts) and this one watches it (cli/supervisor.ts).
 */
import { loadFailure } from './runtime/loadFailure';
import { isSupervised, tellSupervisor } from './runtime/supervised';

void (isSupervised ? import('./cli/program') : import('./cli/supervisor')).catch((error: unknown) => {
  const sentence = loadFailure(error);
  if (sentence === null) throw error;
  tellSupervisor({ told: true });
  process.stderr.write(`${sentence}\n`, () => process.exit(1));
});
