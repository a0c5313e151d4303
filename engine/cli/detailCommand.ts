/** `detail`: what the views show of an analysed text beside its measures: lenses, buckets, spans, costs, the loss by groups of tokens, and a head's map. */
import { print, ProgressLine, startEngine } from './commands';
import type { NamedMechanism } from './arguments';
import type { Engine } from '../engine';
import { UsageError, told } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { greyPng } from '../export/png';
import { lenses } from '../lens/registry';
import { readText } from '../readText';
import type { PredictedToken } from './predict';
import { costLengths } from '../../shared/costLengths';
import {
  TILE_SIZE,
  type AnalysisSummary,
  type DeviceChoice,
  type LensName,
} from '../../shared/protocol/engine';

/** The analysis of the other text. */
const OTHER = 'cli from';

const SCHEMA = 'urn:attention-inspector:detail:1';

export const DETAILS = [
  'lens',
  'buckets',
  'spans',
  'cost',
  'map',
  'loss',
  'attribution',
  'rollout',
  'values',
  'patch',
] as const;
export type DetailName = (typeof DETAILS)[number];

/** Width and height of a map at most, in cells. */
const MOST_CELLS = 2048;

export interface DetailOptions {
  model: string;
  device: DeviceChoice;
  maxTokens: number | null;
  head: { core: number; head: number };
  lens?: string;
  param: Record<string, string>;
  mechanisms: NamedMechanism[];
  budget?: number;
  reference?: string;
  tokens: PredictedToken[];
  /** Of patch: the other text, and the ids whose logits are told. */
  from?: string;
  answers?: { own: number; other: number };
  /** The map of value-weighted shares. */
  byValue: boolean;
  json?: string;
  png?: string;
}

export function parseHead(value: string): { core: number; head: number } {
  const [, core, head] = /^(\d{1,6})\.(\d{1,6})$/.exec(value.trim()) ?? [];
  if (core === undefined) throw new UsageError(told`--head is CORE.HEAD, such as 3.2, not "${value}".`);
  return { core: Number(core), head: Number(head) };
}

export function parseAnswers(value: string): { own: number; other: number } {
  const [, own, other] = /^(\d{1,9}),(\d{1,9})$/.exec(value.trim()) ?? [];
  if (own === undefined)
    throw new UsageError(told`--answers is two ids of the vocabulary, such as 262,318, not "${value}".`);
  return { own: Number(own), other: Number(other) };
}

export function parseDetail(value: string): DetailName {
  const found = DETAILS.find(one => one === value);
  if (!found) throw new UsageError(told`There is no detail "${value}" (there are: ${DETAILS.join(', ')}).`);
  return found;
}

export async function detailCommand(
  what: DetailName,
  file: string,
  options: DetailOptions,
  signal: AbortSignal,
): Promise<void> {
  const { json, png, model, device, maxTokens } = options;
  if ((png !== undefined) !== (what === 'map'))
    throw new UsageError('--png goes with the detail map, and map needs it.');
  if (options.byValue && what !== 'map') throw new UsageError('--by-value goes with the detail map.');
  if (what === 'lens' && !Object.hasOwn(lenses, options.lens ?? ''))
    throw new UsageError(told`--lens says which: ${Object.keys(lenses).join(', ')}.`);
  if (what === 'buckets' && options.mechanisms.length !== 1)
    throw new UsageError('Buckets are those of one mechanism, such as --mechanism lsh.');
  const { reference, from } = options;
  if ((from !== undefined) !== (what === 'patch'))
    throw new UsageError('--from goes with the detail patch, and patch needs it: the other text.');
  if (what === 'patch' && options.tokens.length > 1)
    throw new UsageError('Patching looks at the next token of one of --tokens.');
  if (reference !== undefined && what !== 'loss')
    throw new UsageError('--reference goes with the detail loss: its tokens are counted.');
  await checkOutputPaths([json, png], [file, ...[reference, from].filter(one => one !== undefined)]);
  const text = await readText(file);
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const id = 'cli';
    const given = { id, model, text, device, maxTokens, mechanisms: [], propagate: false };
    const summary = await engine.analyze(given, signal);
    if (from !== undefined) await engine.analyze({ ...given, id: OTHER, text: await readText(from) }, signal);
    if (what === 'map') await writeWhole(png!, await mapOf(engine, id, summary, options, signal));
    else {
      const result = await detailOf(engine, id, what, summary, options, signal);
      const { provenance, tokens } = summary;
      const whole = { schema: SCHEMA, provenance, tokens: tokens.ids.length, what, result };
      progress.clear();
      const written = `${JSON.stringify(whole, plainArrays, 2)}\n`;
      if (json !== undefined) await writeWhole(json, written);
      else print(written.trimEnd());
    }
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

/** Typed arrays as lists. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<number>)
    : value;
}

async function detailOf(
  engine: Engine,
  id: string,
  what: Exclude<DetailName, 'map'>,
  { tokens }: AnalysisSummary,
  { head, lens, param, mechanisms, budget, reference, tokens: wanted, answers }: DetailOptions,
  signal: AbortSignal,
): Promise<unknown> {
  const last = tokens.ids.length - 1;
  const chosen = wanted.map(token => (token === 'last' ? last : token));
  const settings = mechanisms.map(({ setting }) => setting);
  switch (what) {
    case 'lens':
      return engine.request('analysis/lens', { id, lens: lens as LensName, ...head, params: param }, signal);
    case 'buckets':
      return engine.request('analysis/buckets', { id, ...head, mechanism: settings[0]! }, signal);
    case 'attribution':
      return engine.request('analysis/attribution', { id }, signal);
    case 'values':
      return { ...head, ...(await engine.request('analysis/valueWeights', { id, ...head }, signal)) };
    case 'patch': {
      const [at] = chosen;
      return engine.request('analysis/patch', { id, from: OTHER, at, answers }, signal);
    }
    case 'rollout':
      return {
        tokens: chosen,
        ...(await engine.request('analysis/rollout', { id, tokens: chosen }, signal)),
      };
    case 'loss': {
      const counted = reference === undefined ? null : await readText(reference);
      return engine.request('analysis/lossGroups', { id, reference: counted, mechanisms: settings }, signal);
    }
    case 'spans': {
      const wish = budget === undefined ? { massTarget: 0.95 } : { budget };
      return engine.request('analysis/spans', { id, ...wish, ramp: 32 }, signal);
    }
    case 'cost': {
      const lengths = costLengths(tokens.ids.length);
      return engine.request('cost/formulas', { id, core: head.core, mechanisms: settings, lengths }, signal);
    }
  }
}

/** The head's map as grey levels, the square root of the heaviest mass of each cell. */
async function mapOf(
  engine: Engine,
  id: string,
  { tokens }: AnalysisSummary,
  { head, byValue }: DetailOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  const length = tokens.ids.length;
  const level = Math.max(0, Math.ceil(Math.log2(length / MOST_CELLS)));
  const size = Math.ceil(length / 2 ** level);
  const pixels = new Uint8Array(size * size);
  const tiles = Math.ceil(size / TILE_SIZE);
  for (let row = 0; row < tiles; row++)
    for (let column = 0; column < tiles; column++) {
      const asked = { id, ...head, level, row, column, byValue, reduce: 'max' as const };
      const { rows, columns, mass } = await engine.request('analysis/tile', asked, signal);
      mass.forEach((value, at) => {
        const y = row * TILE_SIZE + Math.floor(at / columns);
        const x = column * TILE_SIZE + (at % columns);
        if (rows > 0) pixels[y * size + x] = Math.round(255 * Math.sqrt(Math.min(1, value)));
      });
    }
  return greyPng(size, size, pixels);
}
