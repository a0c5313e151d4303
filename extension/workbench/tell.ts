/**
 * The only ways to tell the user something. Notifications and tooltips act on what they show (links run commands, pictures
 * are fetched), and what they show holds foreign names. ESLint forbids the ways around this file.
 */
import * as vscode from 'vscode';
import { foreign, oneLine, withoutLinks } from '../../shared/foreign';

/** Some notifications are two of our sentences. */
const LENGTH = 600;

/** A notification; resolves to the button that was pressed. */
export function tell(
  kind: 'information' | 'warning' | 'error',
  message: string,
  ...buttons: string[]
): Thenable<string | undefined> {
  const text = oneLine(message, LENGTH);
  if (kind === 'information') return vscode.window.showInformationMessage(text, ...buttons);
  if (kind === 'warning') return vscode.window.showWarningMessage(text, ...buttons);
  return vscode.window.showErrorMessage(text, ...buttons);
}

export interface Task {
  title: string;
  /** In the corner where it disturbs nobody, and cannot be cancelled. */
  quiet?: boolean;
}

export type Progress = vscode.Progress<{ increment?: number; message?: string }>;

/** A task with its progress in sight. */
export function tellProgress<T>(
  { title, quiet = false }: Task,
  work: (bar: Progress, cancel: vscode.CancellationToken) => Thenable<T>,
): Thenable<T> {
  const location = quiet ? vscode.ProgressLocation.Window : vscode.ProgressLocation.Notification;
  return vscode.window.withProgress(
    { location, title: foreign(title), cancellable: !quiet },
    (bar, cancel) => {
      const report: Progress['report'] = ({ message, ...step }) =>
        bar.report(message === undefined ? step : { ...step, message: foreign(message) });
      return work({ report }, cancel);
    },
  );
}

/** Markdown for a hover or a tooltip. Its links may run the given commands, and there are no others. */
export function tooltip(text: string, commands: readonly string[] = []): vscode.MarkdownString {
  const made = new vscode.MarkdownString(withoutLinks(text, commands));
  if (commands.length > 0) made.isTrusted = { enabledCommands: commands };
  return made;
}
