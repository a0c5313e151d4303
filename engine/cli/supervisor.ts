/**
 * Runs the command in a child process and stays awake beside it: an interrupt is heard whatever the child is doing, its
 * sudden end is told in a sentence, and no temporary file is left behind.
 * Exit codes: the child's own; 3 when the input ended it; 1 when it was stopped.
 */
import { fork } from 'node:child_process';
import { rmSync } from 'node:fs';
import { oneSentence, told } from '../../shared/foreign';
import {
  howItEnded,
  LAST_WORDS,
  SUPERVISED,
  type ChildMessage,
  type ParentMessage,
} from '../runtime/supervised';

/** A child that was asked to stop is in native code when it has not by then. */
const GRACE_MS = 3000;

const child = fork(process.argv[1]!, process.argv.slice(2), {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'],
  env: { ...process.env, [SUPERVISED]: String(process.pid) },
});
const temporaries = new Set<string>();
let subject: string | null = null;
let lastWords = '';
let stopped = false;
/** The child has said why it ends. */
let hasTold = false;

child.stdio[LAST_WORDS]?.on('data', (text: Buffer) => (lastWords += text.toString('utf8')));
child.stdio[LAST_WORDS]?.on('error', () => undefined);
child.on('message', (message: ChildMessage) => {
  if ('subject' in message) subject = message.subject;
  if ('told' in message) hasTold = true;
  if ('temporary' in message) temporaries.add(message.temporary);
  if ('settled' in message) temporaries.delete(message.settled);
});
child.on('error', error => finish(1, told`The command cannot be started: ${error.message}.`));
// Not `exit`: what it said last is read to the end first.
child.on('close', (code, signal) => {
  if (code !== null && !isCrash(code)) return finish(code);
  if (stopped || signal === 'SIGINT' || signal === 'SIGTERM') return finish(1, 'Cancelled.');
  finish(3, howItEnded(subject ?? 'The input', lastWords, code, signal));
});

/** The first interrupt asks the child to stop; the second, or its silence, ends it. */
process.on('SIGINT', () => {
  if (stopped) return void child.kill('SIGKILL');
  stopped = true;
  if (child.connected) child.send('interrupt' satisfies ParentMessage);
  setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
});
for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    stopped = true;
    child.kill('SIGKILL');
  });

function finish(code: number, sentence?: string): void {
  for (const path of temporaries) rmSync(path, { force: true });
  if (sentence !== undefined && !hasTold) process.stderr.write(`${oneSentence(sentence)}\n`);
  process.exitCode = code;
}

/** Windows ends a crashed process with an NTSTATUS of an error. */
function isCrash(code: number): boolean {
  return process.platform === 'win32' && code >= 0x80000000;
}
