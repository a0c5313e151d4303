/** The engine's program: the extension's server, and the trial of a model that the server starts of itself. */
import { TRIAL } from './service/modelTrial';

void (process.argv[2] === TRIAL ? import('./service/trialProgram') : import('./server'));
