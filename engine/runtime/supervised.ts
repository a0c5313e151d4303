/** What a process tells the one that watches it: the command line's supervisor, or the extension's client. */
import { writeSync } from 'node:fs';
import { told } from '../../shared/foreign';

/** Set for the child of the command line's supervisor, to the supervisor's process id: processes that the child starts have other parents. */
export const SUPERVISED = 'ATTENTION_INSPECTOR_SUPERVISED';
/** Where a process that must end at once writes why: this file descriptor is a pipe to its parent. */
export const LAST_WORDS = 4;

/** The argument that makes a program the trial of a model (service/trialProgram.ts). */
export const TRIAL = '--trial';

export const isSupervised = process.env[SUPERVISED] === String(process.ppid) && process.send !== undefined;

/** From the child: whose fault a sudden end would be, which files it would leave behind, and that it has said its sentence. */
export type ChildMessage = { subject: string } | { temporary: string } | { settled: string } | { told: true };
/** To the child: stop at the next step. */
export type ParentMessage = 'interrupt';

export function tellSupervisor(message: ChildMessage): void {
  if (isSupervised && process.connected) process.send!(message);
}

/** Writes to the parent, past the event loop. */
export function lastWords(words: string): void {
  try {
    writeSync(LAST_WORDS, words);
  } catch {
    // Nobody listens.
  }
}

/** In a sentence, how a child ended that was about `subject`: by its own last words, by the system, or natively. */
export function howItEnded(
  subject: string,
  words: string,
  code: number | null,
  signal: NodeJS.Signals | null,
): string {
  const how = words || (signal === 'SIGKILL' ? 'the system ended it, perhaps for want of memory' : null);
  if (how !== null) return told`${subject} cannot be used: ${how}.`;
  return told`${subject} cannot be used: it crashed ONNX Runtime (${signal ?? `exit code ${code}`}).`;
}
