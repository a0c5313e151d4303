import * as vscode from 'vscode';
import { NO_SELECTION, type Selection } from '../../shared/protocol/host';
import { changedSelection } from '../../shared/host/selection';
import { Owner } from '../disposable';

/** A selection to come back to. */
export interface Looked {
  selection: Selection;
  /** Nobody has chosen its head. */
  given: boolean;
}

/** The one selection that editor, side panel and views follow, and the token under the pointer. */
export class SelectionModel extends Owner {
  private readonly changed = this.register(new vscode.EventEmitter<Selection>());
  readonly onChange = this.changed.event;
  private readonly previewed = this.register(new vscode.EventEmitter<number | null>());
  readonly onPreview = this.previewed.event;
  private selection = NO_SELECTION;
  private given = false;

  get current(): Selection {
    return this.selection;
  }

  /** Whether the head is one that was given to start with: nobody has chosen it. */
  get isGiven(): boolean {
    return this.given && this.selection.head !== null;
  }

  get state(): Looked {
    return { selection: this.selection, given: this.given };
  }

  restore({ selection, given }: Looked): void {
    this.select(selection);
    this.given = given;
  }

  /** Selects a head for someone who has chosen none. */
  give({ core, head }: { core: number; head: number }): void {
    this.select({ core, head });
    this.given = true;
  }

  /** Changes the named fields; a head without a core means nothing and is dropped. */
  select(change: Partial<Selection>): void {
    if (change.core !== undefined || change.head !== undefined) this.given = false;
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
