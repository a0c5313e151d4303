/**
 * The command line, in two processes: ONNX Runtime blocks the thread it runs on and may end the process on a file that it
 * does not stand, so the work is done by a child (cli/child.ts) and this one watches it (cli/supervisor.ts). A server
 * tries a model in one more, which is this program as well.
 */
import { loadFailure } from './runtime/loadFailure';
import { isSupervised, tellSupervisor, TRIAL } from './runtime/supervised';

const isChild = isSupervised || process.argv[2] === TRIAL;
const started = isChild ? import('./cli/child').then(child => child.started) : import('./cli/supervisor');

void started.catch((error: unknown) => {
  const sentence = loadFailure(error);
  if (sentence === null) throw error;
  tellSupervisor({ told: true });
  process.stderr.write(`${sentence}\n`, () => process.exit(1));
});
