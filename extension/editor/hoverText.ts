import { hasNative, nativeWords, standingWords } from '../../shared/native';
import type {
  CoreInfo,
  Link,
  MechanismInfo,
  Setting,
  TokenAttention,
  TokenTable,
} from '../../shared/protocol/engine';
import type { Selection } from '../../shared/protocol/host';
import { markdown } from '../../shared/foreign';
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
  const stack = info && info.kind !== 'self' ? `${info.kind} ` : '';
  return `${stack}${t('layer {0}', info?.layer ?? core)}`;
}

/** "layer 3, head 5", "mean of all heads": what the numbers are of. Counted from 0, as in the views. */
export function describeHead({ core, head }: HeadChoice, cores: readonly CoreInfo[], t: Translate): string {
  if (core === null) return t('mean of all heads');
  const layer = describeLayer(core, cores, t);
  const native = nativeWords(cores.find(info => info.core === core)?.attention);
  const name = head === null ? t('mean of the heads of {0}', layer) : t('{0}, head {1}', layer, head);
  return native === null ? name : `${name} (${native})`;
}

type Side = TokenAttention['looksAtSide'];

export interface HoverOptions {
  /** Of the text that is hovered. */
  tokens: TokenTable;
  /** Which text of an encoder-decoder is hovered, and the tokens of its other text. */
  side?: Side;
  other?: TokenTable | null;
  /** Of which head the numbers are, in words. */
  of: string;
  stale: boolean;
  /** The layers that the numbers are of, and what is known of mechanisms: what is native and what is not. */
  cores: readonly CoreInfo[];
  mechanisms: readonly MechanismInfo[];
  /** What the plan gives this head; null or absent without a plan. */
  planned?: Setting | null;
  /** Links for one token, Markdown. */
  links(token: number): string;
  t: Translate;
}

/** The hover of a word, as Markdown: its tokens one after another, then what each mechanism keeps of them. */
export function hoverText(word: readonly TokenAttention[], options: HoverOptions): string {
  const { stale, of, t } = options;
  const parts = word.map(attention => tokenText(attention, options));
  if (stale) parts.unshift(`*${t('The text has changed since the analysis.')}*`);
  parts.unshift(of);
  if (word.every(({ looksAt, lookedAtBy }) => looksAt.length + lookedAtBy.length === 0))
    parts.push(t('This text is not what is attended here: choose a head of its own side.'));
  // A token that is no query here has no row of which something could be kept.
  if (word.some(({ kept, looksAt }) => kept.length > 0 && looksAt.length > 0))
    parts.push(keptTable(word, options));
  if (options.planned?.name === 'dense')
    parts.push(
      hasNative(options.cores)
        ? t('The plan gives this head dense attention, which is a what-if here.')
        : t('The plan leaves this head dense.'),
    );
  return parts.join('\n\n');
}

/** Up to three lines: the token, counted from 0 as in the views, and its numbers; where it looks, who looks at it. */
function tokenText(attention: TokenAttention, options: HoverOptions): string {
  const { tokens, links, t } = options;
  const { token, entropy, loss, looksAt, lookedAtBy, looksAtSide, lookedAtBySide } = attention;
  const facts = [
    `**${tokenCode(tokens.text[token] ?? '')}** ${t('token {0} (of 0 to {1})', token, tokens.ids.length - 1)}`,
  ];
  if (looksAt.length) facts.push(t('entropy {0} nats', number(entropy)));
  if (loss !== null) facts.push(t('loss {0} nats', number(loss)));
  const list = (found: readonly Link[], of: Side) =>
    found.map(one => linkText(one, of, token, options)).join(', ');
  const lines = [`${facts.join(' · ')} · ${links(token)}`];
  if (looksAt.length)
    lines.push(`${t('Looks at')}${where(looksAtSide, options)}: ${list(looksAt, looksAtSide)}`);
  if (lookedAtBy.length)
    lines.push(`${t('Looked at by')}${where(lookedAtBySide, options)}: ${list(lookedAtBy, lookedAtBySide)}`);
  return lines.join('  \n');
}

/** Said of links into the other text only. */
function where(of: Side, { side = 'text', t }: HoverOptions): string {
  if (of === side) return '';
  return ` (${of === 'target' ? t('in the target text') : t('in the source text')})`;
}

/** Rows: mechanisms. One token has a column for each number, several have a column each. */
function keptTable(word: readonly TokenAttention[], options: HoverOptions): string {
  const { tokens, t } = options;
  const choices = word[0]!.kept.map(({ mechanism }) => mechanism);
  const { planned } = options;
  const names = choices.map(choice => {
    const namesakes = choices.filter(({ name }) => name === choice.name);
    const ofPlan = choice.key === planned?.key;
    const name = ofPlan || namesakes.length > 1 ? describeSetting(choice) : choice.name;
    const said = `${name}, ${standingWords(choice, options.cores, options.mechanisms)}`;
    return ofPlan ? t('the plan: {0}', said) : said;
  });
  const lost = ({ kept, token, looksAtSide }: TokenAttention, m: number) => {
    const link = kept[m]?.costliestLost;
    return link ? linkText(link, looksAtSide, token, options, true) : t('none');
  };
  const [only] = word;
  if (word.length === 1 && only) {
    const withLoss = only.kept.some(({ deltaLoss }) => deltaLoss !== null);
    const head = [t('mechanism'), t('mass kept (local)'), t('costliest lost key')];
    if (withLoss) head.push(t('loss change (propagated)'));
    const rows = only.kept.map(({ mass, deltaLoss }, m) => {
      const cells = [markdown(names[m]!), percent(mass), lost(only, m)];
      if (withLoss) cells.push(deltaLoss === null ? '' : t('{0} nats', signed(deltaLoss)));
      return cells;
    });
    return table(head, rows);
  }
  const head = [
    t('mass kept (local), costliest lost key'),
    ...word.map(({ token }) => tokenCode(tokens.text[token] ?? '', true)),
  ];
  const rows = names.map((name, m) => [
    markdown(name),
    ...word.map(one => `${percent(one.kept[m]?.mass ?? NaN)}, ${lost(one, m)}`),
  ]);
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
  const text = (of === side ? tokens : other)?.text[linked] ?? '';
  return `${tokenCode(text, inTable)} ${percent(mass)}${of === side ? distance(linked - token, t) : ''}`;
}

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

function distance(offset: number, t: Translate): string {
  if (offset === 0) return ` (${t('itself')})`;
  return ` (${offset < 0 ? t('{0} back', -offset) : t('{0} ahead', offset)})`;
}
