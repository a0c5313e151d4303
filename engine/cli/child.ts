/**
 * What the command line's first process starts: the command itself, or the trial of a model. It is built into a file of its own
 * (program.js), so that the process that only watches has nothing of it to read.
 */
import { TRIAL } from '../runtime/supervised';

export const started = process.argv[2] === TRIAL ? import('../service/trialProgram') : import('./program');
