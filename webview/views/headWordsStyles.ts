import { css } from 'lit';

/** Pixels of a word in its column, and of the arcs between a column and the middle. */
export const ROW = 40;
export const ARCS = 90;

export const headWordsStyles = css`
  :host {
    display: block;
  }
  .columns {
    display: grid;
    grid-template-columns: minmax(0, 1fr) ${ARCS}px minmax(110px, 240px) ${ARCS}px minmax(0, 1fr);
    margin-top: 8px;
  }
  h3 {
    font-size: inherit;
    font-weight: 600;
    margin: 0;
    min-height: 24px;
  }
  .left {
    text-align: right;
  }
  ol {
    list-style: none;
    margin: 0;
    padding: 0;
  }
  li {
    height: ${ROW}px;
    display: flex;
    flex-direction: column;
    justify-content: center;
  }
  button.word {
    font: inherit;
    color: inherit;
    background: none;
    border: none;
    padding: 0;
    text-align: inherit;
    cursor: pointer;
    max-width: 100%;
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
  button.word:hover strong {
    text-decoration: underline;
  }
  .left button.word {
    direction: ltr;
  }
  .context,
  .number {
    color: var(--muted);
  }
  .number {
    text-align: inherit;
    font-size: 0.92em;
    font-variant-numeric: tabular-nums;
  }
  svg.arcs {
    margin-top: 24px;
    overflow: visible;
  }
  svg.arcs path {
    fill: none;
    stroke: var(--accent);
  }
  .middle {
    align-self: center;
    text-align: center;
    padding: 8px;
    border: 1px solid var(--vscode-focusBorder);
  }
  .middle strong {
    font-size: 1.4em;
    overflow-wrap: anywhere;
  }
  .empty {
    margin: 24px 0;
  }
  .narrow .columns {
    grid-template-columns: minmax(0, 1fr);
  }
  .narrow svg.arcs {
    display: none;
  }
  /* Where there is no room for arcs, a bar under each word is as long as its mass. */
  .mass {
    display: none;
    height: 3px;
    background: var(--accent);
  }
  .narrow .mass {
    display: block;
  }
  .narrow .middle {
    order: -1;
    justify-self: start;
    padding: 4px 12px;
  }
  .narrow .left {
    text-align: left;
  }
  .narrow h3 {
    margin-top: 12px;
  }
  /* Of the whole model only one side is known. */
  .single .columns {
    grid-template-columns: minmax(0, 1fr) ${ARCS}px minmax(110px, 240px) minmax(0, 1fr);
  }
  .narrow.single .columns {
    grid-template-columns: minmax(0, 1fr);
  }
`;
