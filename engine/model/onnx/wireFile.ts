import { fstatSync, readSync } from 'node:fs';
import { RefusedError, told } from '../../errors';

/** Wire type of strings, bytes, messages and packed lists. */
export const LENGTH_DELIMITED = 2;

/** A field of a protobuf message: number, wire type, and where its content lies in the file. */
export interface Field {
  number: number;
  wire: number;
  start: number;
  end: number;
}

/** A protobuf file, read by position through a small window: whatever is stepped over is never in memory. */
export class WireFile {
  readonly size: number;
  private readonly window = new Uint8Array(1 << 16);
  private windowStart = 0;
  private windowEnd = 0;

  constructor(
    private readonly fd: number,
    /** As sentences name it. */
    readonly name: string,
  ) {
    this.size = fstatSync(fd).size;
  }

  /** The field at `at` of a message that ends at `to`. */
  field(at: number, to: number): Field {
    const [tag, start] = this.varint(at, to);
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number === 0) throw this.broken();
    if (wire === 0) return { number, wire, start, end: this.varint(start, to)[1] };
    if (wire === 1 || wire === 5) return this.bounded(number, wire, start, start + (wire === 1 ? 8 : 4), to);
    if (wire !== LENGTH_DELIMITED) throw this.broken();
    const [length, payload] = this.varint(start, to);
    return this.bounded(number, wire, payload, payload + length, to);
  }

  private bounded(number: number, wire: number, start: number, end: number, to: number): Field {
    if (end > to) throw this.broken();
    return { number, wire, start, end };
  }

  private varint(at: number, to: number): [value: number, next: number] {
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 10; i++) {
      if (at + i >= to) throw this.broken();
      const byte = this.byte(at + i);
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return [value, at + i + 1];
      factor *= 128;
    }
    throw this.broken();
  }

  byte(at: number): number {
    if (at < this.windowStart || at >= this.windowEnd) {
      this.windowStart = at;
      this.windowEnd = at + readSync(this.fd, this.window, 0, this.window.length, at);
      if (this.windowEnd === at) throw this.broken();
    }
    return this.window[at - this.windowStart]!;
  }

  copy(from: number, to: number): Uint8Array {
    const bytes = new Uint8Array(to - from);
    if (from >= this.windowStart && to <= this.windowEnd) {
      bytes.set(this.window.subarray(from - this.windowStart, to - this.windowStart));
      return bytes;
    }
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.fd, bytes, done, bytes.length - done, from + done);
      if (read === 0) throw this.broken();
      done += read;
    }
    return bytes;
  }

  broken(): RefusedError {
    return new RefusedError(told`${this.name} is no ONNX model, or the file is cut short or damaged.`);
  }
}
