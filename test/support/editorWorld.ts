/** As much of the editor as the extension's model needs, for tests that run it in this process. */
import { CancellationTokenSource, Emitter } from 'vscode-jsonrpc';

export class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}

export class Range {
  constructor(
    readonly start: Position,
    readonly end: Position,
  ) {}
}

/** A document of one line. */
export class Line {
  readonly uri = { path: '/a.txt', scheme: 'file', toString: () => 'file:///a.txt' };
  readonly lineCount = 1;
  constructor(private text: string) {}

  lineAt() {
    return { range: new Range(new Position(0, 0), new Position(0, this.text.length)) };
  }

  offsetAt({ character }: Position): number {
    return character;
  }

  positionAt(offset: number): Position {
    return new Position(0, Math.max(0, Math.min(offset, this.text.length)));
  }

  getText(range?: Range): string {
    return range ? this.text.slice(range.start.character, range.end.character) : this.text;
  }

  /** Replaces a part, and gives the change as the editor tells of it. */
  replace(start: number, length: number, text: string) {
    this.text = this.text.slice(0, start) + text + this.text.slice(start + length);
    return { document: this, contentChanges: [{ rangeOffset: start, rangeLength: length, text }] };
  }
}

export class EditorWorld {
  readonly edits = new Emitter<unknown>();
  /** What progress was told of beside the status item. */
  readonly progress: unknown[] = [];
  private readonly never = new Emitter<unknown>().event;

  /** What stands in for the module `vscode`. */
  readonly module = {
    Position,
    Range,
    EventEmitter: Emitter,
    CancellationTokenSource,
    ProgressLocation: { Notification: 15, Window: 10 },
    Uri: { joinPath: (...parts: unknown[]) => parts.join('/') },
    l10n: {
      t: (sentence: string, ...values: unknown[]) =>
        sentence.replace(/\{(\d+)\}/g, (_, at: string) => String(values[Number(at)])),
    },
    env: { language: 'en' },
    workspace: {
      isTrusted: true,
      textDocuments: [],
      asRelativePath: ({ path }: { path: string }) => path.slice(1),
      onDidChangeTextDocument: this.edits.event,
      onDidGrantWorkspaceTrust: this.never,
      onDidCloseTextDocument: this.never,
      onDidChangeConfiguration: this.never,
    },
    window: {
      onDidChangeActiveTextEditor: this.never,
      onDidChangeActiveColorTheme: this.never,
      showWarningMessage: () => Promise.resolve(undefined),
      withProgress: (options: unknown, work: (bar: unknown, token: unknown) => Promise<unknown>) => {
        this.progress.push(options);
        return work({ report: () => undefined }, new CancellationTokenSource().token);
      },
    },
  };
}
