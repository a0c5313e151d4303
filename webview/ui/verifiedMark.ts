import { css, html, nothing, type TemplateResult } from 'lit';
import { VERIFIED_MEANS, notVerified, verifiedLine, verifiedMark } from '../../shared/verified';
import { store } from '../host/store';
import { t } from '../host/words';

const means = VERIFIED_MEANS.map(sentence => t(sentence));

/** Whether the analysis that is shown was verified; opened, how far and what the word means. */
export function mark(): TemplateResult | typeof nothing {
  const check = store.summary?.verified;
  if (!check) return nothing;
  const result = sentence(verifiedLine(check, t));
  const lines = check.holds ? [result] : [notVerified(check, t), result];
  return html`<details class="verified" @keydown=${closeOnEscape}>
    <summary class=${check.holds ? '' : 'fails'} title=${[...lines, ...means].join('\n')}>
      ${verifiedMark(check, t)}
    </summary>
    <div class="why">
      ${lines.map(line => html`<p>${line}</p>`)} ${means.map(line => html`<p class="muted">${line}</p>`)}
    </div>
  </details>`;
}

const sentence = (words: string): string => `${words[0]!.toUpperCase()}${words.slice(1)}.`;

function closeOnEscape(event: KeyboardEvent): void {
  const details = event.currentTarget as HTMLDetailsElement;
  if (event.key !== 'Escape' || !details.open) return;
  details.open = false;
  details.querySelector('summary')!.focus();
  event.preventDefault();
}

export const markStyles = css`
  .verified summary {
    cursor: pointer;
    color: var(--muted);
  }
  .verified summary.fails {
    color: var(--vscode-editorWarning-foreground, var(--accent2));
  }
  .verified .why {
    max-width: 46em;
    white-space: normal;
  }
  .verified .why p {
    margin: 4px 0;
  }
`;
