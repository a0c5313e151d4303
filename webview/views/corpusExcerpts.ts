import { html, nothing, type TemplateResult } from 'lit';
import { CRITERIA, type CorpusHead, type HeadExcerpt } from '../../shared/protocol/corpus';
import { number, percent, tokenLabel } from '../../shared/numbers';
import { inkOn, lutColour, mix, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { spelled } from '../model/corpusNames';
import { choose } from '../ui/controls';

const PLACES = ['most', 'least', 'deciles'] as const;

/** Where the head is most or least itself, with what it looks at there. */
export function corpusExcerpts(head: CorpusHead, root: string): TemplateResult {
  const criterion =
    CRITERIA.find(one => one === store.option<string>('corpus', 'criterion', 'farMass')) ?? 'farMass';
  const place = PLACES.find(one => one === store.option<string>('corpus', 'place', 'most')) ?? 'most';
  const shown = head.excerpts.filter(
    one =>
      one.criterion === criterion &&
      (place === 'deciles' ? typeof one.place === 'number' : one.place === place),
  );
  const labels = { most: t('the most'), least: t('the least'), deciles: t('every decile') };
  return html`<h3>${t('Excerpts')}</h3>
    <div class="toolbar">
      ${choose(
        t('By'),
        criterion,
        CRITERIA.map(value => ({ value, label: spelled(value) })),
        value => store.setOption('corpus', 'criterion', value),
      )}
      ${choose(
        t('Where it is'),
        place,
        PLACES.map(value => ({ value, label: labels[value] })),
        value => store.setOption('corpus', 'place', value),
      )}
      <span class="muted"
        >${t('The boxed word looks at the coloured ones, the more the stronger they are.')}</span
      >
    </div>
    ${shown.map(one => excerpt(one, root))}
    ${shown.length === 0 ? html`<p class="muted">${t('Nothing to show: no query of this head has a far key.')}</p>` : nothing}`;
}

function excerpt(one: HeadExcerpt, root: string): TemplateResult {
  const { sequential, background, foreground } = theme();
  const most = Math.max(1e-6, ...one.masses);
  const style = (mass: number) => {
    if (mass / most < 0.004) return nothing;
    const fill = mix(background, lutColour(sequential, Math.sqrt(mass / most) * 0.75), 0.55);
    return `background: ${toCss(fill)}; color: ${inkOn(fill, foreground)}`;
  };
  return html`<div class="excerpt">
    ${
      store.report
        ? html`<strong>${one.file}:${one.line}</strong>`
        : html`<button class="link" @click=${() => openFile(one, root)}>${one.file}:${one.line}</button>`
    }
    <span class="muted">
      ${typeof one.place === 'number' ? t('decile {0}, ', one.place) : ''}${spelled(one.criterion)}
      ${number(one.value)}
      ${one.far ? html`${rich('· {0} on line {1}: {2}', percent(one.far.mass), one.far.line, tokenLabel(one.far.text, 60))}` : nothing}
    </span>
    <pre>
${one.tokens.map(
        (token, t) =>
          html`<span
            class=${t === one.at ? 'query' : nothing}
            title=${percent(one.masses[t]!)}
            style=${style(one.masses[t]!)}
            >${token}</span
          >`,
      )}</pre>
  </div>`;
}

/** The editor shows the place. */
export function openFile(
  { file, start, end }: Pick<HeadExcerpt, 'file' | 'start' | 'end'>,
  root: string,
): void {
  const path = file.split('/').map(encodeURIComponent).join('/');
  store.host.send({ type: 'openFile', uri: `${root}/${path}`, start, end });
}
