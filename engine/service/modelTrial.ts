/**
 * ONNX Runtime ends the process on some files. So a model is loaded and proved for the first time in a process of its own,
 * on the CPU (a driver that crashes is another matter): the engine and its analyses survive it.
 */
import { fork } from 'node:child_process';
import { CancelledError, RefusedError } from '../errors';
import { howItEnded, LAST_WORDS, TRIAL } from '../runtime/supervised';
import type { ModelFiles } from '../model/source/source';
import { isKnown, remember } from './knownModels';

export interface TrialTask {
  files: ModelFiles;
  memoryLimitMiB: number;
}

/** `other`: an error that the engine will meet, and tell, itself. */
export type TrialAnswer = { progress: string } | { end: 'loaded' | 'other' } | { refused: string };

export interface TrialOptions {
  memoryLimitMiB: number;
  signal: AbortSignal;
  onProgress: (message: string) => void;
}

/** Throws RefusedError for a model that is unsound or ends its process. */
export type ModelTrial = (files: ModelFiles, options: TrialOptions) => Promise<void>;

/** Trials in a process of the given program (main.ts, cli.ts). */
export function trialIn(program: string): ModelTrial {
  return async (files, options) => {
    if (await isKnown(files)) return;
    if ((await run(program, files, options)) === 'loaded') await remember(files);
  };
}

function run(program: string, files: ModelFiles, options: TrialOptions): Promise<'loaded' | 'other'> {
  const { signal, memoryLimitMiB, onProgress } = options;
  if (signal.aborted) return Promise.reject(new CancelledError());
  return new Promise((resolve, reject) => {
    const child = fork(program, [TRIAL], {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc', 'pipe'],
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
    });
    const cancel = () => {
      child.kill('SIGKILL');
      reject(new CancelledError());
    };
    signal.addEventListener('abort', cancel, { once: true });
    let lastWords = '';
    child.stdio[LAST_WORDS]?.on('data', (text: Buffer) => (lastWords += text.toString('utf8')));
    child.stdio[LAST_WORDS]?.on('error', () => undefined);
    child.on('message', (answer: TrialAnswer) => {
      if ('progress' in answer) onProgress(answer.progress);
      else if ('refused' in answer) reject(new RefusedError(answer.refused));
      else resolve(answer.end);
    });
    child.on('error', reject);
    // What was answered before goes first.
    child.on('close', (code, signalName) => {
      signal.removeEventListener('abort', cancel);
      reject(new RefusedError(howItEnded(files.ref, lastWords, code, signalName)));
    });
    child.send({ files, memoryLimitMiB } satisfies TrialTask, () => undefined);
  });
}
