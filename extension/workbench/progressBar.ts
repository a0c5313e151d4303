import * as vscode from 'vscode';
import type { AnalysisProgress } from '../../shared/protocol/engine';
import { inLanguage } from '../../shared/sentences';
import type { EngineClient } from '../engine/engineClient';
import type { Progress } from './tell';

/** Fills a notification's bar, which takes increments in per cent, by fractions 0..1; it never goes back. */
export function filling(bar: Progress): (fraction: number, message: string) => void {
  let shown = 0;
  return (fraction, message) => {
    const percent = 100 * fraction;
    bar.report({
      message: inLanguage(message, vscode.l10n.t),
      increment: Math.max(0, percent - shown),
    });
    shown = Math.max(shown, percent);
  };
}

/** Does the work, and fills the bar meanwhile by what the engine tells of it. */
export async function fillingWhile<T>(
  bar: Progress,
  client: EngineClient,
  isOfIt: (progress: AnalysisProgress) => boolean,
  work: () => Promise<T>,
): Promise<T> {
  const fill = filling(bar);
  const listener = client.on('analysis/progress', progress => {
    if (isOfIt(progress)) fill(progress.fraction, progress.message);
  });
  try {
    return await work();
  } finally {
    listener.dispose();
  }
}
