import * as vscode from 'vscode';
import { NO_SELECTION, type Selection } from '../../shared/protocol/host';
import { Owner } from '../disposable';
import { sameChoice } from '../workbench/mechanismSetting';

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
    const next = { ...this.selection, ...change };
    if (next.core === null) next.head = null;
    if (same(this.selection, next)) return;
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

function same(a: Selection, b: Selection): boolean {
  const mechanism =
    a.mechanism === b.mechanism ||
    (a.mechanism !== null && b.mechanism !== null && sameChoice(a.mechanism, b.mechanism));
  const change = a.change === b.change || JSON.stringify(a.change) === JSON.stringify(b.change);
  return mechanism && change && a.core === b.core && a.head === b.head && a.token === b.token;
}
