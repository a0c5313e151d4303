import { scaleLinear } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Plan } from '../../shared/protocol/engine';
import { toCss } from '../draw/colour';
import { percent, signed } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { certaintyOf, certaintyWords } from '../model/certainty';
import { mechanismLook, mechanismTitle, parameterWords, settingTitles } from '../model/mechanismLook';
import { paidIn, spentBy } from '../model/planSpent';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { barLimit } from './barLimit';
import { t } from '../host/words';

const ROW = 22;

/** What the plan costs against each mechanism in every head and against chance, at the same budget. */
@customElement('ai-plan-bars')
export class PlanBars extends Component {
  static override styles = [
    ...Component.styles,
    css`
      svg {
        display: block;
        overflow: visible;
      }
      .plan text {
        font-weight: 600;
      }
      .bar.random,
      .bar.floor {
        fill: none;
        stroke: var(--muted);
        stroke-dasharray: 3 2;
      }
      .whisker {
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .zero {
        stroke: var(--muted);
      }
      .link {
        cursor: pointer;
      }
      .break {
        fill: var(--vscode-editor-background);
      }
      .best {
        stroke: var(--vscode-foreground);
        stroke-opacity: 0.35;
        stroke-dasharray: 2 3;
      }
    `,
  ];
  @property({ attribute: false }) plan: Plan | null = null;

  override render() {
    const { plan, width } = this;
    if (!plan || !width) return nothing;
    const rows = this.rows(plan);
    const height = rows.length * ROW + 8;
    const label = Math.min(170, width * 0.36);
    // A few that fail altogether must not squash the rest: their bars are broken off.
    const limit = barLimit(rows.map(row => row.delta));
    const x = scaleLinear()
      .domain([Math.min(0, ...rows.map(row => row.range?.[0] ?? row.delta)), limit])
      .range([label, width - 66])
      .clamp(true);
    const here = x(plan.effect.delta);
    return html`<svg
      width=${width}
      height=${height}
      role="list"
      aria-label=${t('Change when the text runs on, {0}', unitOf(plan))}
    >
      <line class="best" x1=${here} x2=${here} y1="0" y2=${height - 4}></line>
      ${rows.map((row, at) => bar(row, at * ROW, label, limit, x))}
      <line class="zero" x1=${x(0)} x2=${x(0)} y1="0" y2=${height - 4}></line>
    </svg>`;
  }

  private rows(plan: Plan): Row[] {
    const { random, effect } = plan;
    const look = theme();
    const infos = store.mechanismInfos;
    const uniform = [...plan.uniform].sort((a, b) => a.effect.delta - b.effect.delta);
    const names = settingTitles(
      uniform.map(u => u.choice),
      infos,
    );
    const words = (name: string, { delta, perToken }: Plan['effect'], spent: number) =>
      t(
        `{0}: {1} {2} with {3} of the {4} (propagated)
{5}`,
        name,
        signed(delta),
        unitOf(plan),
        percent(spent),
        paidIn(plan),
        [t('exactly {0}', exact(delta)), certaintyWords(perToken)].filter(Boolean).join('; '),
      );
    const spent = spentBy(plan);
    return [
      {
        name: t('the plan'),
        delta: effect.delta,
        fill: toCss(look.foreground),
        words: words(t('The plan'), effect, spent),
        range: rangeOf(effect),
        strong: true,
      },
      ...uniform.map(({ choice, ...u }, at): Row => {
        const params = parameterWords(
          choice,
          infos.find(m => m.name === choice.name),
        );
        const title = t('{0}{1} in every head', names[at]!, params ? ` (${params})` : '');
        return {
          name: names[at]!,
          delta: u.effect.delta,
          fill: toCss(mechanismLook(choice.name, infos, look).fill),
          words: words(title, u.effect, u.share),
          range: rangeOf(u.effect),
          select: () => store.select({ mechanism: choice }),
        };
      }),
      ...(plan.floor
        ? [
            {
              name: t('{0} (floor)', mechanismTitle(plan.floor.choice.name, infos)),
              delta: plan.floor.effect.delta,
              fill: 'none',
              look: 'floor' as const,
              words: t(
                `{0}
It looks at every score to choose: how little so many pairs can cost, not a rival.`,
                words(
                  t('{0}{1} in every head', mechanismTitle(plan.floor.choice.name, infos), ''),
                  plan.floor.effect,
                  plan.floor.share,
                ),
              ),
              range: rangeOf(plan.floor.effect),
              select: () => store.select({ mechanism: plan.floor!.choice }),
            },
          ]
        : []),
      ...(random.runs > 0
        ? [
            {
              name: t('at random ({0})', random.runs),
              delta: random.mean,
              fill: 'none',
              look: 'random' as const,
              words: t(
                '{0} assignments drawn at random within the budget: mean {1}, from {2} to {3} {4} (propagated)',
                random.runs,
                signed(random.mean),
                signed(random.least),
                signed(random.most),
                unitOf(plan),
              ),
              range: [random.least, random.most] as const,
            },
          ]
        : []),
    ];
  }
}

interface Row {
  name: string;
  delta: number;
  fill: string;
  words: string;
  strong?: boolean;
  /** 95 % of the change, or the least and the most of several. */
  range?: readonly [number, number];
  /** An outline: no rival. */
  look?: 'random' | 'floor';
  select?: () => void;
}

function bar(row: Row, top: number, label: number, limit: number, x: (value: number) => number) {
  const zero = x(0);
  const end = x(row.delta);
  const left = Math.min(zero, end);
  const wide = Math.max(1.5, Math.abs(end - zero));
  const middle = top + ROW / 2;
  const broken = row.delta > limit * 1.0001;
  const right = Math.max(left + wide, row.range ? x(row.range[1]) : 0);
  const cut = left + wide - 14;
  return svg`<g role="listitem" class=${`${row.strong ? 'plan' : ''} ${row.select ? 'link' : ''}`} @click=${() => row.select?.()}>
    <title>${row.words}</title>
    <text x=${label - 8} y=${middle} text-anchor="end" dominant-baseline="middle">${shorten(row.name, label)}</text>
    <rect class=${`bar ${row.look ?? ''}`} x=${left} y=${top + 4} width=${wide} height=${ROW - 8} fill=${row.fill}></rect>
    ${broken && !row.look ? svg`<path class="break" d=${`M${cut},${top + ROW - 2}l6,${4 - ROW}l5,0l-6,${ROW - 4}z`}></path>` : nothing}
    ${
      row.range && row.range[0] <= limit
        ? svg`<line class="whisker" x1=${x(row.range[0])} x2=${x(row.range[1])} y1=${middle} y2=${middle}></line>
          ${row.range.filter(v => v <= limit).map(v => svg`<line class="whisker" x1=${x(v)} x2=${x(v)} y1=${middle - 4} y2=${middle + 4}></line>`)}`
        : nothing
    }
    <text x=${right + 6} y=${middle} dominant-baseline="middle">${signed(row.delta)}</text></g>`;
}

function rangeOf({ perToken }: Plan['effect']): readonly [number, number] | undefined {
  const { range } = certaintyOf(perToken);
  return range ? [range.low, range.high] : undefined;
}

function unitOf({ effect }: Plan): string {
  return effect.measure === 'loss' ? t('nats per token') : t('change of the output');
}

function shorten(name: string, width: number): string {
  const room = Math.floor((width - 8) / 6.2);
  return name.length > room ? `${name.slice(0, room - 1)}…` : name;
}
