/** Anything that must be let go of. Structurally the Disposable of vscode and of vscode-jsonrpc. */
export interface Disposable {
  dispose(): unknown;
}

/** Base of everything that owns listeners or processes: register on creation, dispose once, in reverse order. */
export abstract class Owner implements Disposable {
  private readonly owned: Disposable[] = [];
  private done = false;

  dispose(): void {
    if (this.done) return;
    this.done = true;
    for (const one of this.owned.reverse()) one.dispose();
    this.owned.length = 0;
  }

  protected get isDisposed(): boolean {
    return this.done;
  }

  protected register<T extends Disposable>(one: T): T {
    if (this.done) one.dispose();
    else this.owned.push(one);
    return one;
  }
}
