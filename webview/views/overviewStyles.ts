import { css } from 'lit';

export const overviewStyles = css`
  .parts {
    display: flex;
    align-items: start;
    gap: 24px;
  }
  .block {
    display: grid;
    gap: 4px;
    width: max-content;
  }
  .parts + h2 {
    margin-top: 16px;
  }
  .row {
    display: contents;
  }
  .label {
    grid-column: 1;
    color: var(--muted);
    align-self: center;
    text-align: right;
    padding-right: 6px;
    white-space: nowrap;
  }
  .label.running {
    color: var(--vscode-foreground);
    font-weight: 600;
  }
  .column {
    color: var(--muted);
    text-align: center;
  }
  .cell {
    position: relative;
    width: var(--cell);
    cursor: pointer;
    outline: 1px solid var(--line);
  }
  .cell:hover,
  .cell.preview {
    outline: 1px solid var(--vscode-foreground);
  }
  .cell[aria-selected='true'] {
    outline: 2px solid var(--focus);
    outline-offset: 1px;
  }
  .cell:focus-visible {
    outline: 2px dashed var(--focus);
    outline-offset: 1px;
  }
  .cell ai-thumb,
  .cell .waiting {
    height: var(--cell);
  }
  .waiting.running {
    background: repeating-linear-gradient(
      135deg,
      transparent 0 5px,
      var(--vscode-progressBar-background, var(--focus)) 5px 6px
    );
    opacity: 0.55;
  }
  .corner {
    position: absolute;
    top: 1px;
    right: 2px;
    display: flex;
    flex-direction: column;
    align-items: flex-end;
    line-height: 1.1;
    font-size: 10px;
    pointer-events: none;
  }
  .corner.backed {
    background: var(--vscode-editor-background);
    padding: 0 1px;
  }
  .track {
    height: 5px;
    border-top: 1px solid var(--line);
  }
  .track > div {
    height: 100%;
  }
  .strip {
    align-self: center;
  }
  .strip .rail {
    stroke: var(--muted);
    stroke-opacity: 0.35;
  }
  .strip .middle {
    stroke: var(--vscode-foreground);
    stroke-width: 2;
  }
  .strip .dot {
    fill: var(--accent);
    fill-opacity: 0.75;
    stroke: var(--vscode-editor-background);
    cursor: pointer;
  }
  .strip .dot.shown {
    stroke: var(--focus);
    stroke-width: 2;
    fill-opacity: 1;
  }
  .axis-end {
    color: var(--muted);
    display: flex;
    justify-content: space-between;
    padding: 0 6px;
    gap: 6px;
    white-space: nowrap;
  }
  .axis-end > :nth-child(2) {
    min-width: 0;
    white-space: normal;
    text-align: center;
  }
  .ranked {
    display: flex;
    flex-wrap: wrap;
    gap: 10px;
  }
  .caption {
    display: flex;
    justify-content: space-between;
    gap: 4px;
    font-size: 11px;
    padding: 2px 2px 0;
    white-space: nowrap;
  }
  .detail {
    min-height: 1.6em;
    padding: 8px 0 0;
  }
  .legend,
  .roles {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 14px;
    color: var(--muted);
    font-size: 11px;
  }
  .legend {
    padding-top: 8px;
    gap: 6px 24px;
  }
  .roles > span {
    display: inline-flex;
    align-items: center;
    gap: 4px;
    white-space: nowrap;
  }
  .scroll {
    overflow-x: auto;
    padding: 3px;
  }
`;
