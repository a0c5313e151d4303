import { sidesOf, type CoreInfo, type Intervention, type TokenTable } from '../../shared/protocol/engine';
import { describeHead, describeLayer, type HeadChoice, type Translate } from '../editor/hoverText';
import { describeSetting } from '../../shared/setting';

export interface NamedTokens {
  cores: readonly CoreInfo[];
  text: TokenTable;
  target: TokenTable | null;
}

/** "keys “the cat” (12-14) hidden in layer 3, head 5": one intervention in words. */
export function describeIntervention(one: Intervention, names: NamedTokens, t: Translate): string {
  const where = describeHeads(one, names.cores, t);
  switch (one.kind) {
    case 'head':
      return t('{0} knocked out', where);
    case 'mechanism':
      return t('{0} in {1}', describeSetting(one.choice), where);
    case 'span': {
      const keys = passage(one.from, one.to, keysOf(one, names));
      return one.queries
        ? t('{0} hidden from tokens {1} in {2}', keys, numbers(one.queries.from, one.queries.to), where)
        : t('{0} hidden in {1}', keys, where);
    }
    case 'edge':
      return t(
        '{0} hidden from token {1} in {2}',
        passage(one.key, one.key + 1, keysOf(one, names)),
        one.query,
        where,
      );
  }
}

/** "all heads", "all heads of layer 3", "layer 3, head 5" */
export function describeHeads({ core, head }: HeadChoice, cores: readonly CoreInfo[], t: Translate): string {
  if (core === null) return t('all heads');
  return head === null
    ? t('all heads of {0}', describeLayer(core, cores, t))
    : describeHead({ core, head }, cores, t);
}

/** The tokens that the keys of an intervention are of. */
function keysOf(
  { core, side = 'text' }: { core: number | null; side?: 'text' | 'target' },
  { cores, text, target }: NamedTokens,
): TokenTable {
  const info = cores.find(one => one.core === core);
  const of = info ? sidesOf(info.kind).keys : side;
  return of === 'target' ? (target ?? text) : text;
}

const LONGEST = 24;

/** "“the cat” (12-13)" */
function passage(from: number, to: number, tokens: TokenTable): string {
  const words = tokens.text.slice(from, to).join('').replace(/\s+/g, ' ').trim();
  const characters = [...words];
  const shown = characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join('')}…` : words;
  return `“${shown}” (${numbers(from, to)})`;
}

function numbers(from: number, to: number): string {
  return to === from + 1 ? String(from) : `${from}-${to - 1}`;
}
