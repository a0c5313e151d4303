import { css } from 'lit';

export const textStyles = css`
  :host {
    height: 100%;
    display: flex;
    flex-direction: column;
    min-height: 460px;
  }
  .lead {
    margin: 2px 0 8px;
    font-size: 1.2em;
    line-height: 1.35;
  }
  .lead .muted {
    font-size: 0.84em;
  }
  .figure {
    flex: 1;
    min-height: 0;
    display: flex;
    flex-direction: column;
  }
  .body {
    flex: 1;
    min-height: 0;
    display: grid;
    grid-template-columns: minmax(0, 1fr) minmax(300px, 380px);
    gap: 8px 20px;
  }
  /* The text first, below it all that is said of it: the page scrolls. */
  .figure.narrow {
    flex: none;
  }
  .narrow .body {
    flex: none;
    grid-template-columns: minmax(0, 1fr);
    grid-template-rows: max(380px, 54vh) auto;
  }
  /* What is said of all tokens follows the text: the page scrolls. */
  .figure:has(ai-loss-groups) {
    flex: none;
  }
  .figure:not(.narrow):has(ai-loss-groups) .body {
    flex: none;
    height: max(340px, 52vh);
  }
  .main {
    min-width: 0;
    min-height: 0;
    display: flex;
    flex-direction: column;
    gap: 6px;
  }
  ai-coloured-text {
    flex: 1;
    min-height: 160px;
  }
  .above {
    display: flex;
    flex-wrap: wrap;
    gap: 2px 20px;
    align-items: start;
    justify-content: space-between;
    min-height: 26px;
  }
  .said {
    min-width: 0;
    display: flex;
    gap: 4px;
    white-space: nowrap;
    flex: 1 1 46ch;
  }
  .said .words {
    min-width: 0;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  .said strong {
    font-family: var(--vscode-editor-font-family, monospace);
  }
  .side {
    min-width: 0;
    min-height: 0;
    overflow-y: auto;
  }
  ol {
    list-style: none;
    margin: 0;
    padding: 0;
  }
  ol li {
    display: grid;
    grid-template-columns: 20px minmax(0, 1fr) max-content;
    gap: 0 8px;
    align-items: baseline;
    padding: 3px 4px 4px 0;
    border-bottom: 1px solid var(--line);
  }
  ol li.shown {
    background: var(--vscode-list-inactiveSelectionBackground, #8883);
    outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
    outline-offset: -1px;
  }
  /* Muted text has too little contrast on the selection. */
  li.shown .before,
  li.shown .rank,
  li.shown .lost {
    color: inherit;
  }
  .rank {
    color: var(--muted);
    font-size: 11px;
    text-align: right;
  }
  .where {
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
  .where .before {
    color: var(--muted);
    font-size: 0.9em;
  }
  .where code {
    font-weight: 600;
  }
  .lost {
    grid-column: 2 / 4;
    font-size: 0.92em;
    color: var(--muted);
    overflow: hidden;
    text-overflow: ellipsis;
  }
  .swatch {
    padding: 0 5px;
    border-radius: 2px;
  }
  ai-interventions {
    margin-bottom: 10px;
  }
`;
