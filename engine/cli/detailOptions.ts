/** What may be said of a detail: the syntax of its options, and which of them goes with which. */
import { DETAILS, PARTS, type Asked, type DetailName, type Edge, type Part } from './details';
import { findMechanism } from '../attention/registry';
import { UsageError, told } from '../errors';
import { lenses } from '../lens/registry';
import type { DeviceChoice } from '../../shared/protocol/engine';

export interface DetailOptions extends Asked {
  model: string;
  device: DeviceChoice;
  maxTokens: number | null;
  /** Of patch: the other text. */
  from?: string;
  json?: string;
  png?: string;
}

/** The longest text that costs are asked for at. */
const LONGEST = 131_072;

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

export function parseLengths(value: string): number[] {
  const lengths = value.split(',').map(part => (/^\s*\d{1,9}\s*$/.test(part) ? Number(part) : NaN));
  if (!lengths.every(length => length >= 1 && length <= LONGEST))
    throw new UsageError(
      told`--lengths takes numbers of tokens from 1 to ${LONGEST}, with commas between, not "${value}".`,
    );
  return [...new Set(lengths)].sort((a, b) => a - b);
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

type Option = Exclude<keyof DetailOptions, 'model' | 'device' | 'maxTokens'>;

/** What each detail looks at. */
const LOOKS_AT: Record<DetailName, readonly Option[]> = {
  lens: ['json', 'lens', 'param', 'head'],
  buckets: ['json', 'png', 'mechanisms', 'head'],
  spans: ['json', 'budget', 'head'],
  cost: ['json', 'mechanisms', 'head', 'measure', 'lengths'],
  map: ['png', 'mechanisms', 'head', 'byValue'],
  token: ['json', 'tokens', 'mechanisms', 'head', 'byValue'],
  lost: ['json', 'mechanisms'],
  loss: ['json', 'mechanisms', 'reference'],
  ablation: ['json', 'resample'],
  attribution: ['json', 'tokens', 'answer'],
  rollout: ['json', 'tokens'],
  values: ['json', 'head'],
  patch: ['json', 'from', 'part', 'tokens', 'answers', 'head', 'put', 'edges'],
};

/** What of an option makes no difference. */
const isSilent = (value: unknown): boolean =>
  value === undefined || value === false || (typeof value === 'object' && Object.keys(value!).length === 0);

/** The options that were given and are looked at, in the order of that list. */
export function optionsOf(what: DetailName, options: DetailOptions): Partial<DetailOptions> {
  const given = LOOKS_AT[what].filter(option => !isSilent(options[option]));
  return Object.fromEntries(given.map(option => [option, options[option]]));
}

/** What does not go together, or is missing. */
export function refuseWrong(what: DetailName, options: DetailOptions): void {
  const { png, byValue, lens, mechanisms, from, tokens, head, part } = options;
  const wrong = (message: string) => new UsageError(message);
  for (const option of Object.keys(FLAGS) as Option[])
    if (!isSilent(options[option]) && !LOOKS_AT[what].includes(option)) throw wrong(goesWith(option));
  if (what === 'map' && png === undefined) throw wrong('--png goes with the detail map, and map needs it.');
  if (byValue && what === 'token' && !head) throw wrong('--by-value is told of one head: --head says which.');
  if (what === 'lens' && !Object.hasOwn(lenses, lens ?? ''))
    throw wrong(told`--lens says which: ${Object.keys(lenses).join(', ')}.`);
  if (what === 'buckets' && mechanisms.length !== 1)
    throw wrong('Buckets are those of one mechanism, such as --mechanism lsh.');
  if (what === 'lost' && mechanisms.length !== 1)
    throw wrong('What is lost is lost under one mechanism, such as --mechanism local.');
  if (what === 'map' && mechanisms.length > 1) throw wrong('A map is drawn under one mechanism at most.');
  const [one] = what === 'map' ? mechanisms : [];
  const { title, approximate } = one
    ? findMechanism(one.setting.name).info
    : { title: '', approximate: false };
  if (approximate)
    throw wrong(`${title} keeps no set of pairs: there is nothing that it leaves out of a map.`);
  if (what === 'patch' && from === undefined)
    throw wrong('--from goes with the detail patch, and patch needs it: the other text.');
  if (what === 'patch' && tokens && tokens.length > 1)
    throw wrong('Patching looks at the next token of one of --tokens.');
  if (options.put && part !== 'residual') throw wrong('--put goes with --part residual.');
  if (options.edges && part !== 'edges') throw wrong('--edges goes with --part edges.');
  if (what === 'patch' && head && part !== 'edges') throw wrong('--head goes with --part edges.');
  if (options.answer !== undefined && !tokens)
    throw wrong('--answer goes with the detail attribution at --tokens.');
}

/** As they are written. */
const FLAGS: Record<Option, string> = {
  json: 'json',
  png: 'png',
  head: 'head',
  lens: 'lens',
  param: 'param',
  mechanisms: 'mechanism',
  budget: 'budget',
  reference: 'reference',
  tokens: 'tokens',
  answer: 'answer',
  resample: 'resample',
  measure: 'measure',
  lengths: 'lengths',
  from: 'from',
  part: 'part',
  put: 'put',
  edges: 'edges',
  answers: 'answers',
  byValue: 'by-value',
};

function goesWith(option: Option): string {
  const details = DETAILS.filter(detail => LOOKS_AT[detail].includes(option));
  const last = details.at(-1)!;
  const words = details.length === 1 ? last : `${details.slice(0, -1).join(', ')} or ${last}`;
  return `--${FLAGS[option]} goes with the detail ${words}.`;
}
