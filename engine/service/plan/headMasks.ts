/** What the heads of a plan see on the analysed text, for exports that others run. */
import type { Analysis } from '../analysis';
import { byCore } from '../changedRun';
import { visibleKeys, type CoreInput } from '../../attention/core';
import { readGlobals } from '../../attention/mechanisms/longformer';
import type { Attended } from '../../attention/mechanism';
import { flag, numberOr, rootOf } from '../../attention/parameters';
import { buildRing } from '../../attention/kernels/ring';
import type { CoreMasks, HeadMask } from '../../export/headMasks';
import type { HeadAssignment, MechanismChoice } from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import type { Tensor } from '../../runtime/tensor';

/** What lists of single pairs may take, all heads together: a bit for each query and key, which grows as the square. */
const PAIR_BYTES = 2 ** 26;
const TOO_MANY: HeadMask = {
  kind: 'none',
  reason: 'the text is too long to list the pairs of so many heads',
};

/** Every core with a mask for every head; heads that the plan does not name are dense. */
export async function headMasks(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
  pairBytes = PAIR_BYTES,
): Promise<CoreMasks[]> {
  const assigned = byCore(analysis.model.info.cores, heads);
  let left = pairBytes;
  const cores: CoreMasks[] = [];
  for (const { result, mask } of analysis.cores) {
    const { info } = result;
    const { input } = await analysis.tensors(info.core);
    const masks: CoreMasks['heads'] = [];
    for (const [head, choice] of assigned[info.core]!.entries()) {
      await checkpoint(signal);
      let mask = choice ? await headMask(analysis, choice, info.core, head, input, signal) : DENSE;
      if (mask.kind === 'pairs') {
        if (mask.bits.length > left) mask = TOO_MANY;
        else left -= mask.bits.length;
      }
      masks.push({ head, choice: choice ?? { name: 'dense', params: {} }, mask });
    }
    cores.push({ info, mask, queries: input.queries, keys: input.keys, heads: masks });
  }
  return cores;
}

const DENSE: HeadMask = { kind: 'dense' };

async function headMask(
  analysis: Analysis,
  choice: MechanismChoice,
  core: number,
  head: number,
  input: CoreInput,
  signal: AbortSignal,
): Promise<HeadMask> {
  const { name, params } = choice;
  const attend = () => analysis.attendHead(choice, core, head, input, signal);
  switch (name) {
    case 'local':
      return { kind: 'band', reach: numberOr(params, 'window', 128) - 1 };
    case 'strided':
      return { kind: 'strided', stride: numberOr(params, 'stride', rootOf(input.keys)) };
    case 'fixed': {
      const block = numberOr(params, 'block', rootOf(input.keys));
      return { kind: 'fixed', block, summary: numberOr(params, 'summary', Math.min(4, block)) };
    }
    case 'longformer':
      return {
        kind: 'globals',
        window: numberOr(params, 'window', 64),
        globals: [...readGlobals(params, input.keys)],
      };
    case 'adaptive-span': {
      const span = Number((await attend()).extra['span']!.data[0]!);
      const ramp = numberOr(params, 'ramp', 32);
      return ramp === 0 ? { kind: 'band', reach: Math.floor(span) } : { kind: 'soft', span, ramp };
    }
  }
  const attended = await attend();
  if (attended.lse === null)
    return { kind: 'none', reason: `${name} does not choose among the model's own pairs` };
  switch (name) {
    case 'bigbird':
      return blocks(attended, input, numberOr(params, 'block', 32));
    case 'vertical-slash': {
      const list = (key: string) => Array.from(attended.extra[key]!.data, Number).filter(line => line >= 0);
      return { kind: 'lines', columns: list('columns'), diagonals: list('diagonals') };
    }
    case 'lsh':
      if (attended.reweighted && numberOr(params, 'rounds', 2) > 1)
        return { kind: 'none', reason: 'a pair that several rounds bring together counts several times' };
      return ring(attended, numberOr(params, 'bucketSize', 64), acrossBuckets(choice));
    case 'routing':
      if (attended.extra['local_heads']?.dims[0])
        return { kind: 'band', reach: numberOr(params, 'localWindow', 256) - 1 };
      return clusters(attended, input);
  }
  if (attended.reweighted)
    return { kind: 'none', reason: `the weights of ${name} are no softmax over a set of pairs` };
  return pairs(attended, input);
}

function acrossBuckets({ params }: MechanismChoice): boolean {
  return params['attendAcrossBuckets'] === undefined || flag(params, 'attendAcrossBuckets');
}

/** Blocks that see each other, from the rows of every block's first and last query. */
function blocks(attended: Attended, input: CoreInput, block: number): HeadMask {
  const count = Math.ceil(input.keys / block);
  const shift = input.keys - input.queries;
  const seen = new Uint8Array(count * count);
  for (let b = 0; b < count; b++) {
    for (const position of [b * block, Math.min(input.keys, (b + 1) * block) - 1]) {
      if (position < shift) continue;
      for (const key of attended.row(0, position - shift).keys) seen[b * count + Math.floor(key / block)] = 1;
    }
  }
  return { kind: 'blocks', block, seen };
}

function ring(attended: Attended, bucketSize: number, across: boolean): HeadMask {
  const queryBuckets = rounds(attended.extra['buckets']!);
  const keyBuckets = attended.extra['key_buckets'] ? rounds(attended.extra['key_buckets']) : queryBuckets;
  const { keyPlace, chunkOf, chunks } = buildRing(queryBuckets, keyBuckets, bucketSize);
  const chunk = (pick: (chunk: (typeof chunks)[number]) => number) => chunkOf.map(c => pick(chunks[c]!));
  return {
    kind: 'ring',
    rounds: queryBuckets.length,
    places: keyPlace,
    first: chunk(c => c.first),
    end: chunk(c => c.end),
    wrap: chunk(c => c.wrap),
    buckets: across ? null : { queries: joined(queryBuckets), keys: joined(keyBuckets) },
  };
}

function rounds({ data, dims }: Tensor): Int32Array[] {
  const [, count = 1, tokens = 0] = dims;
  return Array.from({ length: count }, (_, r) =>
    Int32Array.from({ length: tokens }, (_, i) => Number(data[r * tokens + i]!)),
  );
}

function joined(lists: readonly Int32Array[]): Int32Array {
  return Int32Array.from(lists.flatMap(list => [...list]));
}

/** Bits of one word. The sign bit stays unused: not every program has unsigned words. */
const WORD = 31;

function clusters(attended: Attended, input: CoreInput): HeadMask {
  const queryMembers = attended.extra['query_members']!;
  const words = Math.ceil(queryMembers.dims[1]! / WORD);
  const counts = new Int32Array(input.queries);
  const bits = ({ data, dims }: Tensor, tokens: number, held?: Int32Array) => {
    const [, count = 0, window = 0] = dims;
    const result = new Int32Array(tokens * words);
    for (let c = 0; c < count; c++) {
      for (let t = 0; t < window; t++) {
        const token = Number(data[c * window + t]!);
        if (token < 0) continue;
        result[token * words + Math.floor(c / WORD)]! |= 1 << (c % WORD);
        if (held) held[token]!++;
      }
    }
    return result;
  };
  const queries = bits(queryMembers, input.queries, counts);
  const keys = bits(attended.extra['key_members']!, input.keys);
  return { kind: 'clusters', words, queries, keys, averaged: counts.some(count => count > 1) };
}

function pairs(attended: Attended, input: CoreInput): HeadMask {
  const width = Math.ceil(input.keys / 8);
  const bits = new Uint8Array(input.queries * width);
  for (let query = 0; query < input.queries; query++) {
    const { from, to } = visibleKeys(input, query);
    for (const key of attended.row(0, query).keys) {
      if (key >= from && key < to) bits[query * width + (key >> 3)]! |= 1 << (key & 7);
    }
  }
  return { kind: 'pairs', bits };
}
