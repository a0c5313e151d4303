import * as vscode from 'vscode';
import type { PageLanguage } from '../../shared/protocol/exports';

/** What a page needs to speak the user's language; undefined for English, which it speaks by itself. */
export function pageLanguage(): PageLanguage | undefined {
  const { bundle } = vscode.l10n;
  return bundle && { tag: vscode.env.language, words: bundle };
}
