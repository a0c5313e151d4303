/** Keeps the most recently used sessions; the rest are released. */
export class SessionCache<S extends { release(): Promise<void> }> {
  private readonly entries = new Map<string, Promise<S>>();

  constructor(private readonly limit: number) {}

  /** The value of `key`, made once. A failed make is forgotten, so that a later call tries again. */
  async get(key: string, make: () => Promise<S>): Promise<S> {
    let entry = this.entries.get(key);
    this.entries.delete(key);
    entry ??= make();
    this.entries.set(key, entry); // now the youngest
    try {
      const session = await entry;
      await this.trim();
      return session;
    } catch (error) {
      if (this.entries.get(key) === entry) this.entries.delete(key);
      throw error;
    }
  }

  async clear(): Promise<void> {
    const all = [...this.entries.values()];
    this.entries.clear();
    await Promise.allSettled(all.map(async entry => (await entry).release()));
  }

  private async trim(): Promise<void> {
    while (this.entries.size > this.limit) {
      const [key, entry] = this.entries.entries().next().value!;
      this.entries.delete(key);
      await (await entry).release();
    }
  }
}
