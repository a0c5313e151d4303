import * as vscode from 'vscode';
import { NO_SELECTION, type Selection } from '../../shared/protocol/host';
import { changedSelection } from '../../shared/host/selection';
import { Owner } from '../disposable';

/** The one selection that editor, side panel and views follow, and the token under the pointer. */
export class SelectionModel extends Owner {
  private readonly changed = this.register(new vscode.EventEmitter<Selection>());
  readonly onChange = this.changed.event;
  private readonly previewed = this.register(new vscode.EventEmitter<number | null>());
  readonly onPreview = this.previewed.event;
  private selection = NO_SELECTION;

  get current(): Selection {
    return this.selection;
  }

  /** Changes the named fields; a head without a core means nothing and is dropped. */
  select(change: Partial<Selection>): void {
    const next = changedSelection(this.selection, change);
    if (next === this.selection) return;
    this.selection = next;
    this.changed.fire(next);
  }

  clear(): void {
    this.select(NO_SELECTION);
  }

  preview(token: number | null): void {
    this.previewed.fire(token);
  }
}
