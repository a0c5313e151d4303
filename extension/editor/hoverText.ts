import { layerWords } from '../../shared/layerWords';
import { denseIsWhatIf, nativeWords, standingWords } from '../../shared/native';
import type {
  CoreInfo,
  Link,
  MechanismInfo,
  Prediction,
  Setting,
  TokenAttention,
  TokenTable,
} from '../../shared/protocol/engine';
import type { Selection } from '../../shared/protocol/host';
import { markdown } from '../../shared/foreign';
import { around, wordLinks, wordOfToken, wordsOf, type Word } from '../../shared/words';
import { describeSetting } from '../../shared/setting';
import { number, percent, signed } from '../../shared/numbers';

/** `vscode.l10n.t`, passed in so that this file stays free of VS Code. */
export type Translate = (message: string, ...args: (string | number)[]) => string;

export type HeadChoice = Pick<Selection, 'core' | 'head'>;

/**
 * A token as Markdown code that cannot break out: no markup, no table cell, no line is ended by what it contains.
 * Isolated, so that right-to-left text does not turn its surroundings around.
 */
export function tokenCode(text: string, inTable = false): string {
  const visible =
    text
      .replace(/\r\n|[\n\r]/g, '⏎')
      .replace(/\t/g, '⇥')
      .replace(/^ +| +$/g, spaces => '␣'.repeat(spaces.length))
      .replace(
        /\p{Cc}|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
        character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
      ) || '∅';
  const cell = inTable ? visible.replaceAll('|', '¦') : visible;
  const longest = Math.max(0, ...[...cell.matchAll(/`+/g)].map(run => run[0].length));
  const fence = '`'.repeat(longest + 1);
  const pad = longest ? ' ' : '';
  return `\u2068${fence}${pad}${cell}${pad}${fence}\u2069`;
}

/** "layer 3", "cross layer 0" */
export function describeLayer(core: number, cores: readonly CoreInfo[], t: Translate): string {
  const info = cores.find(one => one.core === core);
  return layerWords(core, info, t);
}

/** "layer 3, head 5", "mean of all heads": what the numbers are of. Counted from 0, as in the views. */
export function describeHead({ core, head }: HeadChoice, cores: readonly CoreInfo[], t: Translate): string {
  if (core === null) return t('mean of all heads');
  const layer = describeLayer(core, cores, t);
  const native = nativeWords(cores.find(info => info.core === core)?.attention, t);
  const name = head === null ? t('mean of the heads of {0}', layer) : t('{0}, head {1}', layer, head);
  return native === null ? name : `${name} (${native})`;
}

type Side = TokenAttention['looksAtSide'];

export interface HoverOptions {
  /** The text that is hovered, and its tokens. */
  text: string;
  tokens: TokenTable;
  /** Which text of an encoder-decoder is hovered, and its other text. */
  side?: Side;
  other?: { text: string; tokens: TokenTable } | null;
  /** Of which head the numbers are, in words; then what else is known of it: what it does, what losing it costs. */
  of: string;
  about?: readonly string[];
  stale: boolean;
  /** The layers that the numbers are of, and what is known of mechanisms: what is native and what is not. */
  cores: readonly CoreInfo[];
  mechanisms: readonly MechanismInfo[];
  /** What the plan gives this head; null or absent without a plan. */
  planned?: Setting | null;
  /** Links for the word, by its first token, Markdown. */
  links(token: number): string;
  /** A link that pins a token under these words of Markdown, or the words alone where it cannot be pinned. */
  pin(token: number, words: string, side: Side): string;
  t: Translate;
}

/** Words that are listed in each direction, and how much of the text stands around each. */
const LISTED = 3;
const REACH = 14;

/** The hover of a word, as Markdown: three lines on the whole word, then what each mechanism keeps of it. */
export function hoverText(word: readonly TokenAttention[], options: HoverOptions): string {
  const { stale, of, about = [], t } = options;
  const parts = [[of, ...about].join(' · ')];
  if (stale) parts.push(`*${t('The text has changed since the analysis.')}*`);
  parts.push(wordText(word, options));
  if (word.every(({ looksAt, lookedAtBy, across }) => looksAt.length + lookedAtBy.length === 0 && !across))
    parts.push(t('This text is not what is attended here: choose a head of its own side.'));
  // A token that is no query here has no row of which something could be kept.
  if (word.some(({ kept, looksAt }) => kept.length > 0 && looksAt.length > 0))
    parts.push(keptTable(word, options));
  if (options.planned?.name === 'dense')
    parts.push(
      denseIsWhatIf(options.cores)
        ? t('The plan gives this head dense attention, which is a what-if here.')
        : t('The plan leaves this head dense.'),
    );
  return parts.join('\n\n');
}

/** The word with its numbers, counted from 0 as in the views; where it looks; who looks at it. */
function wordText(word: readonly TokenAttention[], options: HoverOptions): string {
  const { text, tokens, links, t, side = 'text' } = options;
  const [first, last] = [word[0]!, word[word.length - 1]!];
  const end = tokens.ids.length - 1;
  const place =
    word.length === 1
      ? t('token {0} (of 0 to {1})', first.token, end)
      : t('tokens {0} to {1} (of 0 to {2})', first.token, last.token, end);
  const asked = word.filter(({ looksAt }) => looksAt.length > 0);
  const facts = [`**${tokenCode(nameOf(text, tokens, first.token, last.token))}** ${place}`];
  if (asked.length) facts.push(t('entropy {0} nats', number(mean(asked.map(one => one.entropy)))));
  const losses = word.map(one => one.loss).filter(loss => loss !== null);
  if (losses.length) facts.push(t('loss {0} nats', number(sum(losses))));
  const lines = [`${facts.join(' · ')} · ${links(first.token)}`];
  const say = (title: string, found: readonly (readonly Link[])[], of: Side, as: 'keys' | 'queries') => {
    const list = linkedWords(found, of, as, first.token, options);
    if (list) lines.push(`${title}${where(of, options)}: ${list}`);
  };
  say(
    t('Looks at'),
    word.map(one => one.looksAt),
    first.looksAtSide,
    'keys',
  );
  say(
    t('Looked at by'),
    word.map(one => one.lookedAtBy),
    first.lookedAtBySide,
    'queries',
  );
  const across = word.map(one => one.across).filter(one => one !== undefined);
  const otherSide = side === 'text' ? 'target' : 'text';
  say(
    t('Looks at'),
    across.map(one => one.looksAt),
    otherSide,
    'keys',
  );
  say(
    t('Looked at by'),
    across.map(one => one.lookedAtBy),
    otherSide,
    'queries',
  );
  return lines.join('  \n');
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;

/** As it is written; tokens on no characters as the vocabulary calls them. */
function nameOf(text: string, { start, end, text: names }: TokenTable, first: number, last: number): string {
  const written = text.slice(start[first], end[last]);
  return first === last || !written ? (names[first] ?? '') : written;
}

/** The heaviest words of some links in their context, each a link that pins it; empty where there are none. */
function linkedWords(
  links: readonly (readonly Link[])[],
  of: Side,
  as: 'keys' | 'queries',
  from: number,
  { text, tokens, side = 'text', other, pin, t }: HoverOptions,
): string {
  const table = of === side ? { text, tokens } : other;
  if (!table || links.every(list => list.length === 0)) return '';
  const { words, of: wordAt } = wordsIn(table.text, table.tokens);
  return wordLinks(links, words, wordAt, as)
    .slice(0, LISTED)
    .map(({ word, mass }) => {
      const { before, after } = around(table.text, word, REACH);
      const written = table.text.slice(word.start, word.end);
      const name = tokenCode(written.trim() ? written : (table.tokens.text[word.first] ?? ''));
      const far = of === side ? distance(word.first - from, t) : '';
      const shown = `${markdown(before)}${pin(word.first, name, of)}${markdown(after)}`;
      return `${shown} ${percent(mass)}${far}`;
    })
    .join(' · ');
}

const known = new WeakMap<TokenTable, { text: string; words: Word[]; of: Int32Array }>();

/** The words of a text, found once. */
function wordsIn(text: string, tokens: TokenTable): { words: Word[]; of: Int32Array } {
  const before = known.get(tokens);
  if (before?.text === text) return before;
  const words = wordsOf(text, tokens);
  const found = { text, words, of: wordOfToken(words) };
  known.set(tokens, found);
  return found;
}

/** Said of links into the other text only. */
function where(of: Side, { side = 'text', t }: HoverOptions): string {
  if (of === side) return '';
  return ` (${of === 'target' ? t('in the target text') : t('in the source text')})`;
}

/** The likeliest tokens, and those after what was taken away. */
export function predictionText({ of, before, after, came }: Prediction, t: Translate): string {
  const list = (found: Prediction['before']) =>
    found.map(({ text, probability }) => `${tokenCode(text)} ${percent(probability)}`).join(', ');
  const what = of === 'next' ? t('Predicted next') : t('Predicted in its place');
  const lines = [`${what}: ${list(before)}`];
  if (after) lines.push(`${t('Without what was taken away')}: ${list(after)}`);
  if (came) {
    const chance = after
      ? t('{0}, then {1}', percent(came.before), percent(came.after ?? 0))
      : percent(came.before);
    lines.push(t('{0} stands there: {1}', tokenCode(came.text), chance));
  }
  return lines.join('  \n');
}

/** A row for each mechanism: what it keeps of the word, as a mean over its tokens. */
function keptTable(word: readonly TokenAttention[], options: HoverOptions): string {
  const { t, planned } = options;
  const choices = word[0]!.kept.map(({ mechanism }) => mechanism);
  const names = choices.map(choice => {
    const namesakes = choices.filter(({ name }) => name === choice.name);
    const ofPlan = choice.key === planned?.key;
    const name = ofPlan || namesakes.length > 1 ? describeSetting(choice) : choice.name;
    const said = `${name}, ${standingWords(choice, options.cores, options.mechanisms, options.t)}`;
    return ofPlan ? t('the plan: {0}', said) : said;
  });
  const withLoss = word.some(({ kept }) => kept.some(({ deltaLoss }) => deltaLoss !== null));
  const head = [t('mechanism'), t('mass kept (local)'), t('costliest lost key')];
  if (withLoss) head.push(t('loss change (propagated)'));
  const rows = names.map((name, m) => {
    const kept = word.map(one => one.kept[m]!);
    const lost = word
      .map(one => ({ from: one, link: one.kept[m]!.costliestLost }))
      .filter(one => one.link !== null)
      .sort((a, b) => b.link!.mass - a.link!.mass)[0];
    const changes = kept.map(one => one.deltaLoss).filter(change => change !== null);
    const cells = [
      markdown(name),
      percent(mean(kept.map(one => one.mass))),
      lost ? linkText(lost.link!, lost.from.looksAtSide, lost.from.token, options, true) : t('none'),
    ];
    if (withLoss) cells.push(changes.length ? t('{0} nats', signed(sum(changes))) : '');
    return cells;
  });
  return table(head, rows);
}

/** "`cat` 34.1 % (5 back)": another token, its mass and, within one text, its distance. */
function linkText(
  { token: linked, mass }: Link,
  of: Side,
  token: number,
  { tokens, side = 'text', other, t }: HoverOptions,
  inTable = false,
) {
  const text = (of === side ? tokens : other?.tokens)?.text[linked] ?? '';
  return `${tokenCode(text, inTable)} ${percent(mass)}${of === side ? distance(linked - token, t) : ''}`;
}

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

function distance(offset: number, t: Translate): string {
  if (offset === 0) return ` (${t('itself')})`;
  return ` (${offset < 0 ? t('{0} back', -offset) : t('{0} ahead', offset)})`;
}
