import { css } from 'lit';

export const pairStyles = css`
  .lead {
    min-height: 1.5em;
    margin: 2px 0 8px;
  }
  .lead strong {
    font-size: 1.15em;
  }
  .three {
    display: grid;
    grid-template-columns: repeat(3, minmax(0, 1fr));
    gap: 8px 20px;
    max-width: 1200px;
  }
  .three.narrow {
    /* A and B stay beside each other; what differs stands below them. */
    grid-template-columns: repeat(2, minmax(0, 1fr));
  }
  /* Pictures begin at the same height, however long their titles are. */
  .three > section {
    display: grid;
    grid-row: span 2;
    grid-template-rows: subgrid;
    row-gap: 0;
  }
  .three h2 {
    line-height: 24px;
    overflow-wrap: anywhere;
  }
  .letter {
    display: inline-block;
    padding: 0 6px;
    border: 1px solid var(--vscode-foreground);
    border-radius: 3px;
    font-weight: 600;
  }
  .legends,
  .above {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 24px;
    align-items: baseline;
    margin-top: 6px;
  }
  .above ai-legend {
    margin-left: auto;
  }
  .parts {
    display: grid;
    grid-template-columns: minmax(0, 1fr) fit-content(52%);
    gap: 8px 28px;
    margin-top: 12px;
  }
  .parts.narrow {
    grid-template-columns: minmax(0, 1fr);
  }
  ai-coloured-text {
    max-height: 300px;
  }
  section {
    min-width: 0;
  }
  caption {
    text-align: left;
    font-weight: 600;
    padding: 8px 0 2px;
    white-space: nowrap;
  }
  details {
    margin-top: 8px;
  }
  summary {
    cursor: pointer;
    color: var(--muted);
  }
  .wide {
    overflow-x: auto;
    margin-top: 12px;
  }
  .above.cells ai-legend {
    margin-left: 0;
  }
  .grid th {
    white-space: nowrap;
  }
  .grid td {
    min-width: 46px;
    text-align: right;
    padding: 0;
  }
  .grid button {
    font: inherit;
    font-variant-numeric: tabular-nums;
    color: inherit;
    background: none;
    border: 0;
    width: 100%;
    padding: 3px 6px;
    text-align: right;
    cursor: pointer;
  }
  .grid td.shown {
    outline: 2px solid var(--focus);
    outline-offset: -2px;
  }
`;
