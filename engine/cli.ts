/**
 * The command line, in two processes: ONNX Runtime blocks the thread it runs on and may end the process on a file that it
 * does not stand, so the work is done by a child (cli/program.ts) and this one watches it (cli/supervisor.ts).
 */
import { isSupervised } from './runtime/supervised';

void (isSupervised ? import('./cli/program') : import('./cli/supervisor'));
