import * as vscode from 'vscode';
import { inLanguage } from '../../shared/sentences';
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
