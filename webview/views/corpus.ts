import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { CorpusHead, CorpusProfile } from '../../shared/protocol/corpus';
import type { CorpusState } from '../../shared/protocol/host';
import { count } from '../../shared/numbers';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { lossesOf } from '../model/corpus';
import { Component } from '../ui/component';
import { button } from '../ui/controls';
import { requestState, run } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { corpusExcerpts } from './corpusExcerpts';
import { headKinds, headLine } from './corpusHead';
import { headScatter } from './corpusHeads';
import { corpusProjection } from './corpusProjection';
import { corpusStyles } from './corpusStyles';

/** A model's heads over a folder of texts: all heads by any measures, one head's excerpts, and how it differs by kind of text. */
@customElement('ai-corpus')
export class Corpus extends Component {
  static override styles = [...Component.styles, stateStyles, corpusStyles];
  private readonly profile = new Remote(this, 'host/corpus');

  override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    const { corpus } = store;
    this.profile.want(corpus.status === 'ready' ? { id: corpus.id } : null);
  }

  override render() {
    const { corpus } = store;
    if (corpus.status !== 'ready') return this.notReady(corpus);
    const profile = this.profile.value;
    if (!profile) return requestState(this.profile, t('Reading the profile …'));
    const head = this.shownHead(profile);
    return html`${this.about(profile, corpus.folder)}
      <div class=${this.width < 1200 ? '' : 'two'}>
        <div>
          ${headScatter(profile, head)}
          ${head ? html`${headLine(head, profile)} ${headKinds(head, profile)}` : nothing}
        </div>
        <div>${head ? corpusProjection(head, profile, corpus.root) : nothing}</div>
      </div>
      ${head ? corpusExcerpts(head, corpus.root) : nothing}`;
  }

  private notReady(corpus: Exclude<CorpusState, { status: 'ready' }>): TemplateResult {
    const start = button(t('Profile a folder'), () => run('profileFolder'));
    if (corpus.status === 'running') {
      const far = corpus.of === 0 ? '' : t(': {0} of {1} texts', count(corpus.done), count(corpus.of));
      return html`<p role="status">${rich('Profiling {0}{1}', corpus.folder, far)}</p>`;
    }
    return html`<div class="state">
      ${
        corpus.status === 'error'
          ? html`<p role="alert">${rich('{0} was not profiled. {1}', corpus.folder, corpus.message)}</p>`
          : html`<p>
              ${t('The heads of the model over a whole folder: how each is distributed over texts and kinds of text, and where it is most itself.')}
            </p>`
      }
      <div class="buttons">${start}</div>
    </div>`;
  }

  private about(profile: CorpusProfile, folder: string): TemplateResult {
    const { texts, settings } = profile;
    const failed = texts.filter(text => text.failed !== null);
    const read = texts.length - failed.length;
    return html`<p class="about">
        ${rich('{0}: {1} texts, {2} tokens (the first {3} of each), {4}.', html`<strong>${folder}</strong>`, count(read), count(texts.reduce((sum, text) => sum + text.tokens, 0)), count(settings.maxTokens), settings.model)}
        ${
          store.report
            ? html`<span class="muted">${rich('report of {0}', store.report.made)}</span>`
            : html`<button class="link" @click=${() => run('profileFolder')}>${t('Another folder')}</button>
                <button class="link" @click=${() => run('exportCorpus')}>
                  ${t('Save as an HTML report')}
                </button>`
        }
      </p>
      ${profile.missing.map(({ texts, of, shards }) => html`<p>${t('Not all texts are here: of {0} shards {1} are missing ({2} texts in all).', count(of), shards.join(', '), count(texts))}</p>`)}
      ${this.losses(profile)}
      ${
        failed.length > 0
          ? html`<details>
              <summary>${rich('{0} skipped', count(failed.length))}</summary>
              <ul>
                ${failed.map(({ file, failed }) => html`<li>${file}: ${failed}</li>`)}
              </ul>
            </details>`
          : nothing
      }`;
  }

  /** Of the model as a whole: its loss, and what mechanisms in every core change of it. */
  private losses(profile: CorpusProfile): TemplateResult | typeof nothing {
    const losses = lossesOf(profile);
    if (losses.length === 0) return nothing;
    return html`<p>${losses.map(words => html`${words}<br />`)}</p>`;
  }

  /** The selected head where the profile has it; else the one chosen here last, else the first. */
  private shownHead({ heads }: CorpusProfile): CorpusHead | null {
    const { core, head } = store.selection;
    const kept = store.option('corpus', 'head', '');
    return (
      heads.find(one => one.core === core && one.head === head) ??
      heads.find(one => `${one.core}.${one.head}` === kept) ??
      heads[0] ??
      null
    );
  }
}
