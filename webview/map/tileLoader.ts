import type { Setting } from '../../shared/protocol/engine';
import { store, type HeadId } from '../host/store';
import type { TileAddress } from './geometry';
import type { LoadedTile } from './tiles';

/** What the tiles are of. */
export interface TileSource {
  id: string;
  head: HeadId;
  reduce: 'max' | 'mean';
  mechanism: Setting | null;
  byValue: boolean;
}

export function sourceKey({ id, head, reduce, mechanism, byValue }: TileSource): string {
  return JSON.stringify([id, head.core, head.head, reduce, mechanism, byValue]);
}

/** Fetches tiles, the most wanted first, a few at a time; keeps the least recently used ones up to a limit. */
export class TileLoader {
  error: string | null = null;
  private source: TileSource | null = null;
  private prefix = '';
  private readonly loaded = new Map<string, LoadedTile>();
  private readonly loading = new Map<string, AbortController>();
  private queue: TileAddress[] = [];

  /**
   * @param onTile a tile has come (or failed: see `error`)
   * @param onForget a tile was dropped from the cache
   * @param capacity tiles kept; 256 of 128 x 128 with two channels are 32 MiB
   */
  constructor(
    private readonly onTile: () => void,
    private readonly onForget: (key: string) => void,
    private readonly capacity = 256,
    private readonly parallel = 4,
  ) {}

  get busy(): boolean {
    return this.loading.size > 0;
  }

  setSource(source: TileSource | null): void {
    const prefix = source ? sourceKey(source) : '';
    if (prefix === this.prefix) return;
    this.source = source;
    this.prefix = prefix;
    this.error = null;
    this.want([]);
  }

  /** All tiles of the present source, coarsest first. */
  tiles(): LoadedTile[] {
    const mine = [...this.loaded.values()].filter(t => t.key.startsWith(this.prefix));
    return mine.sort((a, b) => b.level - a.level);
  }

  find(address: TileAddress): LoadedTile | null {
    return this.loaded.get(this.key(address)) ?? null;
  }

  /** Replaces the list of tiles still to be fetched; what is no longer in it is aborted. */
  want(addresses: TileAddress[]): void {
    const keys = new Set(addresses.map(a => this.key(a)));
    for (const [key, abort] of this.loading) {
      if (keys.has(key)) continue;
      abort.abort();
      this.loading.delete(key);
    }
    this.queue = [];
    for (const address of addresses) {
      const key = this.key(address);
      const tile = this.loaded.get(key);
      if (tile) {
        // Used again: to the young end of the map.
        this.loaded.delete(key);
        this.loaded.set(key, tile);
      } else if (!this.loading.has(key)) {
        this.queue.push(address);
      }
    }
    this.pump();
  }

  private key({ level, row, column }: TileAddress): string {
    return `${this.prefix}/${level}/${row}/${column}`;
  }

  private pump(): void {
    while (this.loading.size < this.parallel && !this.firstUnderWay()) {
      const next = this.queue.shift();
      if (!next || !this.source) return;
      void this.load(this.source, next);
    }
  }

  /** The first tile of a source, the whole map, goes alone: it is what stands in for all the others. */
  private firstUnderWay(): boolean {
    return this.loading.size > 0 && ![...this.loaded.keys()].some(key => key.startsWith(this.prefix));
  }

  private async load(source: TileSource, address: TileAddress): Promise<void> {
    const key = this.key(address);
    const abort = new AbortController();
    this.loading.set(key, abort);
    try {
      const { mechanism, byValue } = source;
      const tile = await store.host.request(
        'analysis/tile',
        {
          id: source.id,
          ...source.head,
          ...address,
          reduce: source.reduce,
          ...(mechanism ? { mechanism } : {}),
          ...(byValue ? { byValue } : {}),
        },
        abort.signal,
      );
      if (abort.signal.aborted) return;
      this.keep({ ...address, key, tile, largest: tile.mass.reduce((a, b) => Math.max(a, b), 0) });
      this.error = null;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = (error as Error).message;
    }
    this.loading.delete(key);
    this.onTile();
    this.pump();
  }

  private keep(tile: LoadedTile): void {
    this.loaded.set(tile.key, tile);
    for (const old of this.loaded.keys()) {
      if (this.loaded.size <= this.capacity) break;
      this.loaded.delete(old);
      this.onForget(old);
    }
  }
}
