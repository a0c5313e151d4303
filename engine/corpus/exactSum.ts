/**
 * A sum that does not depend on the order of what is added: parts and whole are whole multiples of 2^-32. So that
 * shards give the very figures of one run, whatever the order in which they come.
 */
const SCALE = 2 ** 32;

export class ExactSum {
  constructor(private units = 0n) {}

  add(value: number): void {
    this.units += BigInt(Math.round(value * SCALE));
  }

  merge(other: ExactSum): void {
    this.units += other.units;
  }

  get value(): number {
    return Number(this.units) / SCALE;
  }

  /** Exactly, for files. */
  toString(): string {
    return this.units.toString();
  }

  static from(text: string): ExactSum {
    return new ExactSum(BigInt(text));
  }
}
