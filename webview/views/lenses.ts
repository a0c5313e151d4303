import { css, html, type TemplateResult } from 'lit';
import { customElement, query } from 'lit/decorators.js';
import { LENS_NAMES, type LensName } from '../../shared/protocol/engine';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { choose, segmented } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import type { LensPart } from '../lenses/lensPart';
import '../lenses/albert';
import '../lenses/flash';
import '../lenses/memory';
import '../lenses/positionTerms';
import '../lenses/retro';
import '../lenses/scaling';
import '../lenses/simplified';
import '../lenses/switch';
import { t } from '../host/words';

interface LensEntry {
  title: string;
  /** What it shows, and why it is no what-if. */
  summary: string;
  paper: string;
  content(): TemplateResult;
}

const LENSES: Record<LensName, LensEntry> = {
  flash: {
    title: 'FlashAttention',
    summary: t(
      'The same attention in tiles that fit fast memory: nothing is left out, only the traffic changes.',
    ),
    paper: 'Dao et al. 2022',
    content: () => html`<ai-lens-flash class="lens"></ai-lens-flash>`,
  },
  switch: {
    title: 'Switch',
    summary: t(
      'Each token goes to one expert of limited room. For a model without experts a router is made up here.',
    ),
    paper: 'Fedus et al. 2022',
    content: () => html`<ai-lens-switch class="lens"></ai-lens-switch>`,
  },
  albert: {
    title: 'ALBERT',
    summary: t(
      'A thin embedding table and one block for all layers: what they would save and lose in this model.',
    ),
    paper: 'Lan et al. 2020',
    content: () => html`<ai-lens-albert class="lens"></ai-lens-albert>`,
  },
  retro: {
    title: 'RETRO',
    summary: t(
      'Chunks look up similar chunks, and later tokens read what followed them. Which would this text find?',
    ),
    paper: 'Borgeaud et al. 2022',
    content: () => html`<ai-lens-retro class="lens"></ai-lens-retro>`,
  },
  simplified: {
    title: t('Simplified blocks'),
    summary: t(
      'Blocks whose heads start as the identity, without value and output projections: how near are these heads?',
    ),
    paper: 'He & Hofmann 2024',
    content: () => html`<ai-lens-simplified class="lens"></ai-lens-simplified>`,
  },
  scaling: {
    title: t('Scaling'),
    summary: t('How compute and memory grow with the length of the text and the size of the model.'),
    paper: 'Kaplan et al. 2020; Hoffmann et al. 2022',
    content: () => html`<ai-lens-scaling class="lens"></ai-lens-scaling>`,
  },
  positions: {
    title: t('Content and position'),
    summary: t(
      'Scores taken apart into content and position: those of layer 0 by absolute positions, or the four terms of any layer of a model that was made with Transformer-XL’s.',
    ),
    paper: 'Dai et al. 2019, section 3.3',
    content: () => html`<ai-lens-positions class="lens"></ai-lens-positions>`,
  },
  memory: {
    title: t('Memory'),
    summary: t(
      'What a segment sees of the past: tokens as they are, and older ones compressed to slots. Of a model that was made so its own, of others a what-if.',
    ),
    paper: 'Rae et al. 2020; Dai et al. 2019',
    content: () => html`<ai-lens-memory class="lens"></ai-lens-memory>`,
  },
};

/** What cannot stand in a model trained dense, each with a view of its own. */
@customElement('ai-lenses')
export class Lenses extends Component implements Savable {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      .about {
        color: var(--muted);
        margin: 0 0 6px;
      }
    `,
  ];
  @query('.lens') private readonly current!: LensPart<LensName> | null;

  private get lens(): LensName {
    const kept = store.option<string>('lenses', 'lens', 'flash');
    return LENS_NAMES.find(name => name === kept) ?? 'flash';
  }

  override render() {
    const empty = emptyState('lenses');
    if (empty) return empty;
    const entry = LENSES[this.lens];
    const choices = LENS_NAMES.map(value => ({ value, label: LENSES[value].title }));
    const set = (value: string) => store.setOption('lenses', 'lens', value);
    return html`<div class="toolbar">
        ${this.width < 720 ? choose(t('Lens'), this.lens, choices, set) : segmented(t('Lens'), this.lens, choices, set)}
        <span class="end">${saveMenu(this)}</span>
      </div>
      <p class="about">${entry.summary} <span>(${entry.paper})</span></p>
      ${
        store.summary
          ? entry.content()
          : html`<p class="muted" role="status">${t('Lenses look at a finished analysis.')}</p>`
      }`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return `lens-${this.lens}`;
  }

  get caption(): string {
    const { title, summary, paper } = LENSES[this.lens];
    return `${title}. ${summary} (${paper})`;
  }

  get figure(): HTMLElement | null {
    return this.current?.figure ?? null;
  }

  toCsv(): string | null {
    return this.current?.toCsv() ?? null;
  }
}
