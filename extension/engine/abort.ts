import { CancellationTokenSource, type CancellationToken } from 'vscode';

/** An abort signal as the editor's APIs and the engine's client take it. */
export function tokenOf(signal: AbortSignal): CancellationToken {
  const source = new CancellationTokenSource();
  if (signal.aborted) source.cancel();
  else signal.addEventListener('abort', () => source.cancel(), { once: true });
  return source.token;
}
