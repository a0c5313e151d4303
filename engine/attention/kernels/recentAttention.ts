import type { CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import { scoreAt } from './lines';
import { attendLists, sequence } from './lists';
import { contentCore, relativeScore, relativeTiles, type Relative } from './relativeScores';
import { recentKeys } from './segments';
import { offsetTables, Outputs } from './tiles';

/** Queries at once. */
export const ROWS = 64;

/** Attention to the own segment and the memory of tokens before it, by the model's scores or by Transformer-XL's. */
export class RecentAttention {
  /** The core whose products of queries and keys are the terms of content. */
  readonly content: CoreInput;
  readonly outputs: Outputs;
  private readonly tables: ReturnType<typeof offsetTables>;

  constructor(
    private readonly input: CoreInput,
    private readonly relative: Relative | null,
    private readonly memory: number,
  ) {
    this.content = contentCore(input, relative);
    this.outputs = new Outputs(this.content);
    this.tables = offsetTables(this.content);
  }

  /** Adds a block of queries of one segment, which begins at token `start`, to the outputs. Returns its pairs. */
  async attend(
    head: number,
    block: { from: number; to: number },
    start: number,
    context: AttendContext,
  ): Promise<number> {
    const { input, relative, memory, outputs } = this;
    const { from, to } = block;
    const first = recentKeys(input, from, start, memory).from;
    const keys = sequence(first, recentKeys(input, to - 1, start, memory).to);
    if (!relative)
      return attendLists(input, head, sequence(from, to), keys, null, this.tables(head), outputs, context);
    await outputs.add(await relativeTiles(input, head, relative, block, keys, context), context);
    let pairs = 0;
    for (let i = from; i < to; i++) {
      const own = recentKeys(input, i, start, memory);
      pairs += own.to - own.from;
    }
    return pairs;
  }

  /** -Infinity where the mask hides the key. */
  score(head: number, query: number, key: number): number {
    const { content, relative } = this;
    return relative ? relativeScore(content, head, relative, query, key) : scoreAt(content, head, query, key);
  }
}
