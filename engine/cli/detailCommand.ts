/** `detail`: what the views show of an analysed text beside its measures, as JSON, and maps as pictures. */
import { print, ProgressLine, startEngine } from './commands';
import {
  ASKED,
  DETAILS,
  FIRST_HEAD,
  OTHER,
  OWN,
  PARTS,
  type Asked,
  type DetailName,
  type Edge,
  type Part,
} from './details';
import { bucketPicture, mapPicture } from './mapPicture';
import type { Engine } from '../engine';
import { UsageError, told } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { lenses } from '../lens/registry';
import { readText } from '../readText';
import type { AnalysisSummary, DeviceChoice } from '../../shared/protocol/engine';

const SCHEMA = 'urn:attention-inspector:detail:1';

export interface DetailOptions extends Asked {
  model: string;
  device: DeviceChoice;
  maxTokens: number | null;
  /** Of patch: the other text. */
  from?: string;
  json?: string;
  png?: string;
}

export function parseHead(value: string): { core: number; head: number } {
  const [, core, head] = /^(\d{1,6})\.(\d{1,6})$/.exec(value.trim()) ?? [];
  if (core === undefined) throw new UsageError(told`--head is CORE.HEAD, such as 3.2, not "${value}".`);
  return { core: Number(core), head: Number(head) };
}

export function parseId(value: string): number {
  if (!/^\d{1,9}$/.test(value.trim()))
    throw new UsageError(told`--answer is an id of the vocabulary, such as 262, not "${value}".`);
  return Number(value);
}

export function parseAnswers(value: string): { own: number; other: number } {
  const [, own, other] = /^(\d{1,9}),(\d{1,9})$/.exec(value.trim()) ?? [];
  if (own === undefined)
    throw new UsageError(told`--answers is two ids of the vocabulary, such as 262,318, not "${value}".`);
  return { own: Number(own), other: Number(other) };
}

export function parseEdges(value: string): Edge[] {
  return value.split(',').map(part => {
    const [, query, key] = /^(\d{1,9})>(\d{1,9})$/.exec(part.trim()) ?? [];
    if (query === undefined)
      throw new UsageError(
        told`--edges takes QUERY>KEY, such as 45>12, with commas between, not "${value}".`,
      );
    return { query: Number(query), key: Number(key) };
  });
}

export function parsePart(value: string): Part {
  const found = PARTS.find(one => one === value);
  if (!found) throw new UsageError(told`--part is one of ${PARTS.join(', ')}, not "${value}".`);
  return found;
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
  refuseWrong(what, options);
  const { json, png, model, device, maxTokens, reference, from } = options;
  await checkOutputPaths([json, png], [file, ...[reference, from].filter(one => one !== undefined)]);
  const text = await readText(file);
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const given = { id: OWN, model, text, device, maxTokens, mechanisms: [], propagate: false };
    const summary = await engine.analyze(given, signal);
    if (from !== undefined) await engine.analyze({ ...given, id: OTHER, text: await readText(from) }, signal);
    if (png !== undefined) await writeWhole(png, await picture(engine, what, summary, options, signal));
    if (what === 'map' || (png !== undefined && json === undefined)) return;
    const result = await ASKED[what](engine, options, summary, signal);
    const { provenance, tokens } = summary;
    const whole = { schema: SCHEMA, provenance, tokens: tokens.ids.length, what, result };
    progress.clear();
    const written = `${JSON.stringify(whole, plainArrays, 2)}\n`;
    if (json !== undefined) await writeWhole(json, written);
    else print(written.trimEnd());
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

/** What does not go together, or is missing. */
function refuseWrong(what: DetailName, options: DetailOptions): void {
  const { png, byValue, lens, mechanisms, from, tokens, reference, head } = options;
  const wrong = (message: string) => new UsageError(message);
  const only = (option: string, ...details: DetailName[]) =>
    wrong(`--${option} goes with the detail ${details.join(' or ')}.`);
  if (what === 'map' && png === undefined) throw wrong('--png goes with the detail map, and map needs it.');
  if (png !== undefined && what !== 'map' && what !== 'buckets') throw only('png', 'map', 'buckets');
  if (byValue && what !== 'map' && what !== 'token') throw only('by-value', 'map', 'token');
  if (byValue && what === 'token' && !head) throw wrong('--by-value is told of one head: --head says which.');
  if (what === 'lens' && !Object.hasOwn(lenses, lens ?? ''))
    throw wrong(told`--lens says which: ${Object.keys(lenses).join(', ')}.`);
  if (what === 'buckets' && mechanisms.length !== 1)
    throw wrong('Buckets are those of one mechanism, such as --mechanism lsh.');
  if (what === 'lost' && mechanisms.length !== 1)
    throw wrong('What is lost is lost under one mechanism, such as --mechanism local.');
  if (what === 'map' && mechanisms.length > 1) throw wrong('A map is drawn under one mechanism at most.');
  if ((from !== undefined) !== (what === 'patch'))
    throw wrong('--from goes with the detail patch, and patch needs it: the other text.');
  if (what === 'patch' && tokens && tokens.length > 1)
    throw wrong('Patching looks at the next token of one of --tokens.');
  if (options.put && options.part !== 'residual') throw wrong('--put goes with --part residual.');
  if (options.edges && options.part !== 'edges') throw wrong('--edges goes with --part edges.');
  if (options.part !== 'heads' && what !== 'patch') throw only('part', 'patch');
  if (options.answers && what !== 'patch') throw only('answers', 'patch');
  if (options.answer !== undefined && !(what === 'attribution' && tokens))
    throw wrong('--answer goes with the detail attribution at --tokens.');
  if (options.resample && what !== 'ablation') throw only('resample', 'ablation');
  if (options.measure && what !== 'cost') throw only('measure', 'cost');
  if (reference !== undefined && what !== 'loss')
    throw wrong('--reference goes with the detail loss: its tokens are counted.');
}

/** A head's map, or the one sorted by buckets. */
function picture(
  engine: Engine,
  what: DetailName,
  summary: AnalysisSummary,
  { head = FIRST_HEAD, mechanisms, byValue }: DetailOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  const [chosen] = mechanisms;
  const of = { id: OWN, ...head };
  return what === 'map'
    ? mapPicture(engine, { ...of, byValue, mechanism: chosen?.setting }, summary, signal, note =>
        process.stderr.write(`note: ${note}\n`),
      )
    : bucketPicture(engine, { ...of, mechanism: chosen!.setting, round: 0 }, summary, signal);
}

/** Typed arrays as lists. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<number>)
    : value;
}
