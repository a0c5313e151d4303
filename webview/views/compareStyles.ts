import { css } from 'lit';

export const compareStyles = css`
  .lead {
    min-height: 1.5em;
    margin: 2px 0 10px;
  }
  .lead strong {
    font-size: 1.1em;
  }
  .two {
    display: grid;
    grid-template-columns: minmax(0, 1.55fr) minmax(0, 1fr);
    gap: 12px 28px;
  }
  .two.narrow {
    grid-template-columns: minmax(0, 1fr);
  }
  /* The plan stands beside the table, where it is seen at once. */
  .two.wide {
    grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    grid-template-rows: auto 1fr;
  }
  .two.wide > section:first-child {
    grid-row: 1 / span 2;
  }
  section {
    min-width: 0;
  }
  .heading {
    display: flex;
    flex-wrap: wrap;
    gap: 0 12px;
    align-items: baseline;
  }
  ai-pareto {
    height: 360px;
  }
  .plan {
    min-width: 0;
    grid-column: 1 / -1;
    margin-top: 10px;
    padding-top: 14px;
    border-top: 1px solid var(--line);
  }
  .wide .plan {
    grid-column: 2;
  }
  .names {
    display: flex;
    flex-wrap: wrap;
    gap: 1px 12px;
    margin: 2px 0 6px;
    font-size: 11px;
  }
  .names .swatch {
    display: inline-block;
    width: 8px;
    height: 8px;
    margin-right: 4px;
    outline: 1px solid var(--vscode-contrastBorder, transparent);
  }
  .add {
    padding-top: 0;
  }
`;
