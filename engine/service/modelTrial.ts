/**
 * ONNX Runtime ends the process on some files. So a model is loaded and proved for the first time in a process of its own,
 * on the CPU (a driver that crashes is another matter): the engine and its analyses survive it.
 */
import { fork } from 'node:child_process';
import { CancelledError, OutOfMemoryError, RefusedError, told } from '../errors';
import { abortedAfter } from '../runtime/cancellation';
import { STEP_SECONDS } from '../runtime/watch';
import { howItEnded, LAST_WORDS, TRIAL } from '../runtime/supervised';
import type { ModelFileFacts, ModelInfo, ModelInspection } from '../../shared/protocol/engine';
import type { ModelFiles } from '../model/source/source';
import { isKnown, remember } from './knownModels';

export interface TrialTask {
  files: ModelFiles;
  memoryLimitMiB: number;
  stepSeconds: number;
  /** Also tells what the file says of itself. */
  inspect: boolean;
}

/** `other`: an error that the engine will meet, and tell, itself. */
export type TrialAnswer =
  | { progress: string }
  | { facts: ModelFileFacts }
  | { end: 'loaded'; info: ModelInfo }
  | { end: 'other' }
  | { refused: string; ofMemory: boolean };

export interface TrialOptions {
  memoryLimitMiB: number;
  signal: AbortSignal;
  onProgress: (message: string) => void;
}

/** What an unknown model goes through in a process of its own. */
export interface ModelTrial {
  /** @throws RefusedError for a model that is unsound or ends its process. */
  attempt(files: ModelFiles, options: TrialOptions): Promise<void>;
  /** What the model is; that it ends its process is an answer as well. */
  inspect(files: ModelFiles, options: TrialOptions): Promise<ModelInspection>;
}

/** A look at a model takes no longer. */
const LOOK_MINUTES = 3;

/** Trials in a process of the given program (main.ts, cli.ts). */
export function trialIn(program: string, stepSeconds = STEP_SECONDS): ModelTrial {
  return {
    attempt: async (files, options) => {
      if (await isKnown(files)) return;
      const { end } = await run(program, { files, ...options, stepSeconds });
      if (end === 'loaded') await remember(files);
    },
    inspect: async (files, options) => {
      const tooLong = abortedAfter(LOOK_MINUTES * 60_000);
      let facts: ModelFileFacts | null = null;
      const refuse = (refused: string): ModelInspection => ({ facts, info: null, refused });
      try {
        const answer = await run(program, {
          files,
          ...options,
          stepSeconds,
          signal: AbortSignal.any([options.signal, tooLong]),
          onFacts: read => (facts = read),
        });
        if (answer.end === 'loaded') return { facts, info: answer.info, refused: null };
        return refuse(
          told`${files.name} cannot be loaded: it is damaged, or of a form that is not understood.`,
        );
      } catch (error) {
        if (error instanceof RefusedError) return refuse(error.message);
        if (!tooLong.aborted || options.signal.aborted) throw error;
        return refuse(told`${files.name} was not loaded within ${LOOK_MINUTES} minutes.`);
      }
    },
  };
}

interface Trial extends TrialOptions {
  files: ModelFiles;
  /** It is ended when a step of the load takes longer. */
  stepSeconds: number;
  /** Asks for what the file says of itself. */
  onFacts?: (facts: ModelFileFacts) => void;
}

type TrialEnd = Extract<TrialAnswer, { end: unknown }>;

function run(program: string, trial: Trial): Promise<TrialEnd> {
  const { files, signal, memoryLimitMiB, onProgress, onFacts, stepSeconds } = trial;
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
      else if ('facts' in answer) onFacts?.(answer.facts);
      else if ('refused' in answer)
        reject(new (answer.ofMemory ? OutOfMemoryError : RefusedError)(answer.refused));
      else resolve(answer);
    });
    child.on('error', reject);
    // What was answered before goes first.
    child.on('close', (code, signalName) => {
      signal.removeEventListener('abort', cancel);
      reject(new RefusedError(howItEnded(files.ref, lastWords, code, signalName)));
    });
    child.send(
      { files, memoryLimitMiB, stepSeconds, inspect: onFacts !== undefined } satisfies TrialTask,
      () => undefined,
    );
  });
}
