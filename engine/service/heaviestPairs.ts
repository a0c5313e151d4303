/** Keeps the n heaviest query-key pairs seen; cheap to ask for almost all pairs, which are too light. */
export class HeaviestPairs {
  private readonly pairs: { query: number; key: number; mass: number }[] = [];
  private threshold = 0;

  constructor(private readonly limit: number) {}

  /** Whether a pair of this mass would be among them. */
  wants(mass: number): boolean {
    return mass > this.threshold;
  }

  offer(query: number, key: number, mass: number): void {
    if (!this.wants(mass)) return;
    this.pairs.push({ query, key, mass });
    if (this.pairs.length >= 2 * this.limit) this.prune();
  }

  /** Heaviest first. */
  list(): { query: number; key: number; mass: number }[] {
    this.prune();
    return this.pairs;
  }

  private prune(): void {
    this.pairs.sort((a, b) => b.mass - a.mass);
    this.pairs.length = Math.min(this.pairs.length, this.limit);
    if (this.pairs.length === this.limit) this.threshold = this.pairs[this.limit - 1]!.mass;
  }
}
