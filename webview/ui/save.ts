import { html, type TemplateResult } from 'lit';
import { pageToSvg, svgToPng } from '../draw/pageToSvg';
import { store } from '../host/store';

/** A view whose picture and data can be saved. */
export interface Savable {
  /** Part of the file name. */
  readonly saveName: string;
  /** The element that is the picture; null while there is none. */
  readonly figure: HTMLElement | null;
  /** The data under the picture, or null. */
  toCsv(): string | null;
}

type Kind = 'svg' | 'png' | 'csv';

async function save(view: Savable, kind: Kind): Promise<void> {
  try {
    const name = `${documentName()}-${view.saveName}.${kind}`;
    const data = await dataOf(view, kind);
    const path = data === null ? null : await store.host.request('host/saveFile', { name, kind, data });
    store.say(path && `Saved as ${path}.`);
  } catch (error) {
    store.say(`The ${kind.toUpperCase()} was not saved: ${(error as Error).message}`);
    store.host.send({ type: 'log', level: 'error', message: `Saving ${kind}: ${(error as Error).message}` });
  }
}

async function dataOf(view: Savable, kind: Kind): Promise<string | Uint8Array | null> {
  if (kind === 'csv') return view.toCsv();
  if (!view.figure) return null;
  const picture = pageToSvg(view.figure);
  return kind === 'svg' ? picture.svg : svgToPng(picture, 2);
}

function documentName(): string {
  const { analysis } = store;
  const name =
    analysis.status === 'ready' || analysis.status === 'running' ? analysis.document.name : 'attention';
  return name.replace(/\.[^.]*$/, '').replace(/[^\p{L}\p{N}_-]+/gu, '-') || 'attention';
}

/** "Save SVG PNG CSV" */
export function saveMenu(view: Savable): TemplateResult {
  const kinds: [Kind, string][] = [
    ['svg', 'Save the picture as SVG'],
    ['png', 'Save the picture as PNG'],
    ['csv', 'Save the data under it as CSV'],
  ];
  return html`<span class="muted" data-no-export>Save</span>${kinds.map(
      ([kind, title]) =>
        html`<button
          class="plain"
          data-no-export
          title=${title}
          aria-label=${title}
          @click=${() => void save(view, kind)}
        >
          ${kind.toUpperCase()}
        </button>`,
    )}`;
}
