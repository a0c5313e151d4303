import { signal } from '@lit-labs/preact-signals';
import { html, type TemplateResult } from 'lit';
import type { SaveFileParams } from '../../shared/protocol/host';
import { store } from '../host/store';
import { t } from '../host/words';

/** A view whose picture and data can be saved. */
export interface Savable {
  /** Part of the file name. */
  readonly saveName: string;
  /** The element that is the picture; null while there is none. */
  readonly figure: HTMLElement | null;
  /** What the picture shows and with which settings, in whole sentences; model and text are named without it. */
  readonly caption: string;
  /** The data under the picture, or null. */
  toCsv(): string | null;
}

/** The view that a figure is being made of; the panel shows the dialog. */
export const figureOf = signal<(Savable & HTMLElement) | null>(null);

type Kind = SaveFileParams['kind'];

/** Asks where to, and says what became of it; `data` null: there is nothing to save. */
export async function saveAs(
  kind: Kind,
  saveName: string,
  data: () => Promise<string | Uint8Array | null> | string | null,
): Promise<void> {
  try {
    const name = `${documentName()}-${saveName}.${kind}`;
    const made = await data();
    const path = made === null ? null : await store.host.request('host/saveFile', { name, kind, data: made });
    store.say(path && t('Saved as {0}.', path));
  } catch (error) {
    store.say(t('The {0} was not saved: {1}', kind.toUpperCase(), (error as Error).message));
    store.host.send({
      type: 'log',
      level: 'error',
      message: `Saving ${kind}: ${(error as Error).message}`,
    });
  }
}

function documentName(): string {
  const { analysis } = store;
  const name =
    analysis.status === 'ready' || analysis.status === 'running' ? analysis.document.name : 'attention';
  return name.replace(/\.[^.]*$/, '').replace(/[^\p{L}\p{N}_-]+/gu, '-') || 'attention';
}

/** "Figure… CSV" */
export function saveMenu(view: Savable & HTMLElement): TemplateResult {
  return html`<button
      class="plain"
      data-no-export
      title=${t('Copy the picture or save it, for a paper or slides')}
      aria-haspopup="dialog"
      @click=${() => (figureOf.value = view)}
    >
      ${t('Figure…')}
    </button>
    ${csvButton(t('Save the data under it as CSV'), view.saveName, () => view.toCsv())}`;
}

/** Saves one table; `name` is part of the file's. */
export function csvButton(label: string, name: string, toCsv: () => string | null): TemplateResult {
  return html`<button
    class="plain"
    data-no-export
    title=${label}
    aria-label=${label}
    @click=${() => void saveAs('csv', name, toCsv)}
  >
    CSV
  </button>`;
}
