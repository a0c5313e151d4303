/** `--without`: what is taken away from the attention, as it is written on the command line. */
import { UsageError, told } from '../errors';
import type { Intervention, MechanismParams, Side } from '../../shared/protocol/engine';
import { parseMechanisms } from './arguments';
import { chosenParams } from '../../shared/setting';

export const WITHOUT_SYNTAX = [
  'head=CORE.HEAD',
  'span=[QUERIES>]KEYS[@CORE[.HEAD]]',
  'edge=QUERY>KEY[@CORE[.HEAD]]',
  'mechanism=NAME[:key=value;key=value][@CORE[.HEAD]]',
];

/** One `--without`. Tokens are counted from 0 and spans hold both their ends; `target:` before them: of the target text. */
export function parseWithout(text: string): Intervention {
  const [, kind, rest = ''] = /^(head|span|edge|mechanism)=(.+)$/s.exec(text.trim()) ?? [];
  switch (kind) {
    case 'head': {
      const { core, head } = place(text, rest);
      if (core === null || head === null) throw wrong(text);
      return { kind, core, head };
    }
    case 'span': {
      const [tokens, where] = split(text, rest);
      const { side, from, to } = arrow(text, tokens);
      return { kind, ...where, ...to, queries: from, ...side };
    }
    case 'edge': {
      const [tokens, where] = split(text, rest);
      const { side, from, to } = arrow(text, tokens);
      if (!from || from.to !== from.from + 1 || to.to !== to.from + 1) throw wrong(text);
      return { kind, ...where, query: from.from, key: to.from, ...side };
    }
    case 'mechanism': {
      const [name, where] = split(text, rest);
      const [choice, second] = parseMechanisms(name);
      if (!choice || second) throw wrong(text);
      return { kind, ...where, choice: choice.setting };
    }
    default:
      throw wrong(text);
  }
}

/** The same, written out. */
export function formatWithout(one: Intervention): string {
  switch (one.kind) {
    case 'head':
      return `head=${one.core}.${one.head}`;
    case 'span': {
      const queries = one.queries ? `${range(one.queries)}>` : '';
      return `span=${sideOf(one)}${queries}${range(one)}${at(one)}`;
    }
    case 'edge':
      return `edge=${sideOf(one)}${one.query}>${one.key}${at(one)}`;
    case 'mechanism':
      return `mechanism=${one.choice.name}${parameters(one.choice.params)}${at(one)}`;
  }
}

function wrong(text: string): UsageError {
  return new UsageError(
    told`--without "${text}" is none of ${WITHOUT_SYNTAX.slice(0, -1).join(', ')} and ${WITHOUT_SYNTAX.at(-1)}.`,
  );
}

/** What stands before the last @, and the head that it names, if any. */
function split(text: string, rest: string): [string, { core: number | null; head: number | null }] {
  const mark = rest.lastIndexOf('@');
  if (mark < 0) return [rest, { core: null, head: null }];
  return [rest.slice(0, mark), place(text, rest.slice(mark + 1))];
}

function place(text: string, where: string): { core: number | null; head: number | null } {
  const [, core, head] = /^(\d+)(?:\.(\d+))?$/.exec(where.trim()) ?? [];
  if (core === undefined) throw wrong(text);
  return { core: Number(core), head: head === undefined ? null : Number(head) };
}

interface Range {
  from: number;
  to: number;
}

/** `[target:][QUERIES>]KEYS` */
function arrow(text: string, tokens: string): { side: { side?: Side }; from: Range | null; to: Range } {
  const [, side, first, second] = /^(target:)?\s*([\d\s-]+?)(?:>([\d\s-]+))?$/.exec(tokens.trim()) ?? [];
  if (first === undefined) throw wrong(text);
  return {
    side: side ? { side: 'target' } : {},
    from: second === undefined ? null : readRange(text, first),
    to: readRange(text, second ?? first),
  };
}

function readRange(text: string, range: string): Range {
  const [, first, last] = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(range.trim()) ?? [];
  const from = Number(first);
  const to = Number(last ?? first) + 1;
  if (first === undefined || !(from < to)) throw wrong(text);
  return { from, to };
}

const range = ({ from, to }: Range) => (to === from + 1 ? String(from) : `${from}-${to - 1}`);
const sideOf = ({ side }: { side?: Side }) => (side === 'target' ? 'target:' : '');

function at({ core, head }: { core: number | null; head: number | null }): string {
  if (core === null) return '';
  return head === null ? `@${core}` : `@${core}.${head}`;
}

function parameters(params: MechanismParams): string {
  const pairs = Object.entries(chosenParams({ params })).map(([name, value]) => `${name}=${value}`);
  return pairs.length > 0 ? `:${pairs.join(';')}` : '';
}
