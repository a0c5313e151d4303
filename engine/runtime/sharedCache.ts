import { LRUCache } from 'lru-cache';
import { neverCancelled, untilCancelled } from './cancellation';

export type SharedCacheOptions<V> =
  /** Keeps so many values. */
  | { max: number; release?(value: V): Promise<void> }
  /** Keeps values whose typed arrays take so many bytes together. */
  | { bytes: number };

/**
 * Values that are made when first asked for, by whoever asks first, and kept while there is room (least recently used
 * ones go first). All who ask for a value while it is made wait for the same work; it is cancelled when the last of them
 * has cancelled, and a failed or cancelled value is made anew for the next one.
 */
export class SharedCache<V extends object> {
  private readonly kept: LRUCache<string, V>;
  private readonly making = new Map<string, SharedWork<V>>();
  private readonly releasing = new Set<Promise<void>>();

  constructor(options: SharedCacheOptions<V>) {
    this.kept =
      'bytes' in options
        ? new LRUCache({
            maxSize: Math.max(1, Math.floor(options.bytes)),
            sizeCalculation: value => Math.max(1, bytesIn(value)),
          })
        : new LRUCache({ max: options.max, dispose: value => this.track(options.release?.(value)) });
  }

  async get<T extends V>(
    key: string,
    make: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal = neverCancelled,
  ): Promise<T> {
    const known = this.peek<T>(key);
    if (known) return known;
    let work = this.making.get(key) as SharedWork<T> | undefined;
    if (!work || work.isAbandoned) this.making.set(key, (work = this.start(key, make)));
    return work.wait(signal);
  }

  /** The value if it is there; makes none. */
  peek<T extends V>(key: string): T | undefined {
    return this.kept.get(key) as T | undefined;
  }

  set(key: string, value: V): void {
    this.kept.set(key, value);
  }

  /** Lets go of all values whose keys begin so; those still being made are not kept. */
  forget(prefix: string): void {
    for (const key of [...this.kept.keys()]) if (key.startsWith(prefix)) this.kept.delete(key);
    for (const key of [...this.making.keys()]) if (key.startsWith(prefix)) this.making.delete(key);
  }

  /** Lets go of everything; resolves when it is released. */
  async clear(): Promise<void> {
    await Promise.allSettled([...this.making.values()].map(work => work.result));
    this.kept.clear();
    await Promise.allSettled(this.releasing);
  }

  private start<T extends V>(key: string, make: (signal: AbortSignal) => Promise<T>): SharedWork<T> {
    const work = new SharedWork(make);
    const end = () => this.making.get(key) === work && this.making.delete(key);
    work.result.then(
      value => end() && this.kept.set(key, value),
      () => end(),
    );
    return work;
  }

  private track(done: Promise<void> | undefined): void {
    if (!done) return;
    this.releasing.add(done);
    const end = () => this.releasing.delete(done);
    done.then(end, end);
  }
}

/** One piece of work that several wait for; it is cancelled when nobody waits any more. */
class SharedWork<V> {
  private waiting = 0;
  private settled = false;
  private readonly abandon = new AbortController();
  readonly result: Promise<V>;

  constructor(work: (signal: AbortSignal) => Promise<V>) {
    this.result = work(this.abandon.signal);
    const settle = () => void (this.settled = true);
    this.result.then(settle, settle);
  }

  get isAbandoned(): boolean {
    return this.abandon.signal.aborted;
  }

  async wait(signal: AbortSignal): Promise<V> {
    this.waiting++;
    try {
      return await untilCancelled(this.result, signal);
    } finally {
      if (--this.waiting === 0 && !this.settled) this.abandon.abort();
    }
  }
}

/** Bytes of all typed arrays in a value made of plain objects, arrays and typed arrays. */
function bytesIn(value: unknown): number {
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (value === null || typeof value !== 'object') return 0;
  let bytes = 0;
  for (const part of Object.values(value)) bytes += bytesIn(part);
  return bytes;
}
