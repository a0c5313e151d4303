/** The engine's program: the extension's server, and the trial of a model that the server starts of itself. */
import { loadFailure } from './runtime/loadFailure';
import { lastWords, TRIAL } from './runtime/supervised';

void (process.argv[2] === TRIAL ? import('./service/trialProgram') : import('./server')).catch(
  (error: unknown) => {
    const sentence = loadFailure(error);
    if (sentence === null) throw error;
    lastWords(sentence);
    process.exit(1);
  },
);
