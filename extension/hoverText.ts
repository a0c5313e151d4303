import type { CoreInfo, Link, TokenAttention, TokenTable } from '../engine/protocol';
import type { Selection } from '../webview/hostProtocol';
import { describeChoice } from './mechanismSetting';
import { percent, short, signed } from './numbers';

/** `vscode.l10n.t`, passed in so that this file stays free of VS Code. */
export type Translate = (message: string, ...args: (string | number)[]) => string;

type HeadChoice = Pick<Selection, 'core' | 'head'>;

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

/** "layer 3, head 5", "mean of all heads": what the numbers are of. Counted from 0, as in the views. */
export function describeHead({ core, head }: HeadChoice, cores: readonly CoreInfo[], t: Translate): string {
  if (core === null) return t('mean of all heads');
  const info = cores.find(one => one.core === core);
  const stack = info && info.kind !== 'self' ? `${info.kind} ` : '';
  const layer = `${stack}${t('layer {0}', info?.layer ?? core)}`;
  return head === null ? t('mean of the heads of {0}', layer) : t('{0}, head {1}', layer, head);
}

/** The hover of one token, as Markdown. `of` says of which head; `links` is Markdown appended as it is. */
export function hoverText(
  attention: TokenAttention,
  tokens: TokenTable,
  of: string,
  stale: boolean,
  links: string,
  t: Translate,
): string {
  const { token } = attention;
  const text = (index: number, inTable = false) => tokenCode(tokens.text[index] ?? '', inTable);
  const link = ({ token: other, mass }: Link, inTable = false) =>
    `${text(other, inTable)} ${percent(mass)}${distance(other - token, t)}`;

  const facts = [t('entropy {0} nats', short(attention.entropy))];
  if (attention.loss !== null) facts.push(t('loss {0} nats', short(attention.loss)));
  const lines = [
    `**${text(token)}** · ${t('token {0} of {1}', token + 1, tokens.ids.length)} · ${of} · ${facts.join(' · ')}`,
  ];
  if (stale) lines.push(`*${t('The text has changed since the analysis.')}*`);
  if (attention.looksAt.length)
    lines.push(`${t('Looks at')}: ${attention.looksAt.map(one => link(one)).join(', ')}`);
  if (attention.lookedAtBy.length)
    lines.push(`${t('Looked at by')}: ${attention.lookedAtBy.map(one => link(one)).join(', ')}`);
  if (attention.kept.length) {
    const withLoss = attention.kept.some(({ deltaLoss }) => deltaLoss !== null);
    const head = [t('mechanism'), t('mass kept (local)'), t('costliest lost key')];
    if (withLoss) head.push(t('loss change (propagated)'));
    const rows = attention.kept.map(({ mechanism, mass, costliestLost, deltaLoss }) => {
      const cells = [
        plain(describeChoice(mechanism)),
        percent(mass),
        costliestLost ? link(costliestLost, true) : t('none'),
      ];
      if (withLoss) cells.push(deltaLoss === null ? '' : t('{0} nats', signed(deltaLoss)));
      return row(cells);
    });
    lines.push([row(head), row(head.map(() => '---')), ...rows].join('\n'));
  }
  if (links) lines.push(links);
  return lines.join('\n\n');
}

function distance(offset: number, t: Translate): string {
  if (offset === 0) return ` (${t('itself')})`;
  return ` (${offset < 0 ? t('{0} back', -offset) : t('{0} ahead', offset)})`;
}

function row(cells: string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Text outside of code: Markdown's own characters escaped. */
function plain(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>~]/g, '\\$&');
}
