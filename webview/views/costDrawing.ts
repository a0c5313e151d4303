import { html, nothing, type TemplateResult } from 'lit';
import type { CostCurve, CostFormulas, CostMeasurement, ForwardTimes } from '../../shared/protocol/engine';
import { FAR_LENGTH } from '../../shared/costLengths';
import { count, number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { bytes, costWords, isCounted, milliseconds, type CostMeasure } from '../model/cost';
import { roughly, type CostPicture, type CostRow } from '../model/costPicture';
import { parameterWords } from '../model/mechanismLook';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { lineColour } from '../plots/costPlot';
import '../plots/forwardBars';
import { rich, t } from '../host/words';

/** The point in a sentence: who wins at this length, and from where. */
export function costLead(picture: CostPicture): TemplateResult | typeof nothing {
  const { measure, heads, tokens } = picture.asked;
  const verdict = picture.verdict();
  if (!verdict) return nothing;
  const of = heads === 1 ? t('one head') : t('all {0} heads', count(heads));
  const what = {
    time: t('takes'),
    memory: t('holds'),
    pairs: t('computes'),
    flops: t('needs'),
    blocks: t('runs'),
    kv: t('caches'),
  }[measure];
  const units = {
    time: '',
    memory: '',
    pairs: t('pairs'),
    flops: t('operations'),
    blocks: t('blocks'),
    kv: '',
  };
  const unit = units[measure] && ` ${units[measure]}`;
  const dense = html`${rich('At {0} tokens dense attention of {1} {2} {3}', count(tokens), of, what, html`<strong title=${exact(verdict.dense)}>${costWords(verdict.dense, measure)}${unit}</strong>`)}`;
  switch (verdict.kind) {
    case 'alone':
      return dense;
    case 'neverFaster':
      return html`${rich('{0}; none of those shown is measured to be faster at any length.', dense)}`;
    case 'less':
      return html`${rich('{0}; {1} does with {2} of that.', dense, html`<strong>${verdict.row.title}</strong>`, html`<strong>${percent(verdict.share)}</strong>`)}`;
    case 'faster': {
      const { row, crossing } = verdict;
      return crossing.tokens === 0
        ? html`${rich('{0}; {1} is faster at every length measured.', dense, html`<strong>${row.title}</strong>`)}`
        : html`${rich('{0}; {1} is the first to be faster, from {2} on{3}.', dense, html`<strong>${row.title}</strong>`, html`<strong>${rich('{0} tokens', count(roughly(crossing.tokens)))}</strong>`, crossing.how === 'extrapolated' ? t(' (extrapolated)') : '')}`;
    }
  }
}

/** What the marks of the plot mean, and where the measured ones are from. */
export function costKey(
  measure: CostMeasure,
  measurement: CostMeasurement | null,
  isMeasured: boolean,
): TemplateResult {
  if (isCounted(measure)) return countedKey(measure, isMeasured);
  const when = measurement && new Date(measurement.date);
  return html`<div class="key">
    ${
      measure === 'time'
        ? html`<span>${t('points: median of repeated runs, bars: the middle half of them')}</span
            ><span>${t('lines: overhead + time per operation, fitted to the points')}</span
            ><span>${t('rings: where it begins to beat dense')}</span>`
        : html`<span>${t('lines: formulas')}</span
            ><span>${t('dashed: expected of a text without structure, or the most')}</span>${
              measure === 'pairs'
                ? html`<span>${t('points: counted on this text, and in measured runs')}</span>`
                : nothing
            }${
              measure === 'memory'
                ? html`<span
                    >${t('float32 weights of all kept pairs at once; the engine holds a block of them at a time')}</span
                  >`
                : nothing
            }`
    }
    ${
      measurement && measure === 'time'
        ? html`<span
            >${rich('measured {0} on {1} ({2}), random heads of {3} dimensions', when!.toLocaleDateString(store.settings.locale), measurement.machine, measurement.device, measurement.shape.dim)}</span
          >`
        : nothing
    }
    ${measurement && measure === 'time' ? measurement.notes.map(note => html`<span>${note}</span>`) : nothing}
  </div>`;
}

function countedKey(measure: 'blocks' | 'kv', isMeasured: boolean): TemplateResult {
  return html`<div class="key">
    <span
      >${measure === 'blocks' ? t('blocks of 128 x 128 with any pair, which a kernel runs whole') : t('the most keys and values held at once, in 16 bits; heads that share them are each charged a part')}</span
    >
    <span>${t('dense: formula')}</span>
    ${
      isMeasured
        ? html`<span>${t('points: counted in measured runs of random heads; lines between them')}</span
            ><span>${t('“–”: not counted at this length, or no set of pairs is kept')}</span>`
        : html`<span>${t('the others are counted in the runs of “Measure on this machine”')}</span>`
    }
  </div>`;
}

interface TableParts {
  /** What the measure is called. */
  name: string;
  narrow: boolean;
  toggle(name: string): void;
  mark(key: string | null): void;
}

/** A row per mechanism: whether it is drawn, and what it costs here and far beyond. */
export function costTable(picture: CostPicture, { name, narrow, toggle, mark }: TableParts): TemplateResult {
  const { measure, tokens } = picture.asked;
  return html`<table class="mechanisms">
    <thead>
      <tr>
        <th scope="col">${t('shown')}</th>
        <th scope="col">${rich('{0} here', name)}</th>
        <th scope="col">${t('of dense')}</th>
        ${narrow ? nothing : html`<th scope="col">${rich('at {0}', count(FAR_LENGTH))}</th>`}
        ${measure === 'time' ? html`<th scope="col">${t('beats dense from')}</th>` : nothing}
      </tr>
    </thead>
    <tbody>
      ${picture.rows.map(row => {
        const here = picture.value(row, tokens);
        const isDense = row === picture.dense;
        const info = store.mechanismInfos.find(m => m.name === row.choice.name);
        const params = parameterWords(row.choice, info);
        const about = picture.isExact(row) ? '' : isCounted(measure) ? '≈ ' : countSign(row.curve);
        return html`<tr
          class=${row.curve.refused ? 'refused' : ''}
          title=${row.curve.refused ?? params ?? nothing}
          @mouseenter=${() => mark(picture.asked.shown.has(row.choice.name) ? row.key : null)}
          @mouseleave=${() => mark(null)}
        >
          <td>
            <label
              ><input
                type="checkbox"
                .checked=${picture.isShown(row)}
                ?disabled=${isDense || row.curve.refused !== null}
                aria-label=${t('Show {0}', row.title)}
                @change=${() => toggle(row.choice.name)}
              /><i .style=${`background: ${lineColour(row.choice.name, theme())}`}></i>${row.title}</label
            >
          </td>
          ${
            row.curve.refused
              ? html`<td colspan="4" class="muted">${t('not on this model')}</td>`
              : html`<td class="number" title=${here === null ? nothing : exact(here)}>
                    ${here === null ? '–' : html`${about}${costWords(here, measure)}`}
                  </td>
                  <td class="number">${shareWords(picture.share(row, tokens))}</td>
                  ${narrow ? nothing : html`<td class="number">${shareWords(picture.share(row, FAR_LENGTH))}${rangeWords(picture, row)}</td>`}
                  ${measure === 'time' ? html`<td class="number">${crossingCell(row, isDense)}</td>` : nothing}`
          }
        </tr>`;
      })}
    </tbody>
  </table>`;
}

/** Beyond the text, spans that its length cuts off may grow in several ways. */
function rangeWords(picture: CostPicture, row: CostRow): TemplateResult | typeof nothing {
  const range = picture.range(row, FAR_LENGTH);
  const dense = picture.value(picture.dense, FAR_LENGTH);
  if (!range || dense === null) return nothing;
  return html` <span
    class="muted"
    title=${t('The length of this text cuts off some of the spans that are fitted to it: fitted against the length, they grow between so little and so much; no interval of confidence: what longer texts need can lie a few percent beyond')}
    >${rich('({0} to {1})', percent(range.low / dense), percent(range.high / dense))}</span
  >`;
}

function crossingCell(row: CostRow, isDense: boolean): TemplateResult | string {
  if (isDense || !row.fit) return '–';
  if (!row.crossing) return t('never here');
  if (row.crossing.tokens === 0) return t('any length');
  const words = count(roughly(row.crossing.tokens));
  return row.crossing.how === 'measured'
    ? words
    : html`<span title=${t('Beyond the longest measured text, by the fitted formula')}>≈${words}</span>`;
}

/** The share of attention in a whole forward of this text; null = not timed yet. */
export function forwardTimes(times: ForwardTimes | null): TemplateResult {
  if (!times)
    return html`<p class="muted">${t('Runs this text through the dense model and times each layer.')}</p>`;
  const attention = times.cores.reduce((sum, core) => sum + core.attention, 0);
  const all = times.cores.reduce((sum, core) => sum + core.rest, attention) + times.output;
  return html`<p>
      ${rich('{0} of {1} at {2} tokens on {3} {4}', html`<strong>${percent(attention / all)}</strong>`, milliseconds(all), count(times.tokens), times.device, html`<span class="muted">${rich('(dense, median of {0} runs)', times.runs)}</span>`)}
    </p>
    <ai-forward-bars .times=${times}></ai-forward-bars>`;
}

/** A figure from the same formula that is known from elsewhere. */
export function formulaCheck({ check }: CostFormulas): TemplateResult {
  return html`<h2>${t('Are the formulas right?')}</h2>
    <p class="muted">
      ${t('Dense attention weights of BERT-base (12 layers, 12 heads of 64, float32, one text), by the same formula:')}
    </p>
    <table>
      <thead>
        <tr>
          <th scope="col">${t('tokens')}</th>
          <th scope="col"></th>
          <th scope="col">${t('formula')}</th>
          <th scope="col">${t('known as')}</th>
        </tr>
      </thead>
      <tbody>
        ${check.map(
          row =>
            html`<tr>
              <td class="number">${count(row.tokens)}</td>
              <td>${row.what}</td>
              <td class="number" title=${t('{0} bytes', count(row.bytes))}>${bytes(row.bytes)}</td>
              <td class="muted">${row.published}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** "about" for what only the text decides. */
function countSign(curve: CostCurve): string {
  return curve.count === 'exact' ? '' : curve.count === 'most' ? '≤ ' : '≈ ';
}

function shareWords(share: number | null): string {
  if (share === null) return '–';
  return share > 1.995 ? `${number(share)}×` : percent(share);
}
