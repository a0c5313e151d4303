import { css } from 'lit';

export const costStyles = css`
  .lead {
    min-height: 1.5em;
    margin: 2px 0 8px;
  }
  .lead strong {
    font-size: 1.15em;
  }
  .two {
    display: grid;
    grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr);
    gap: 8px 28px;
  }
  .two.below {
    margin-top: 18px;
  }
  .two.narrow {
    grid-template-columns: minmax(0, 1fr);
  }
  section {
    min-width: 0;
  }
  .scroll {
    overflow-x: auto;
  }
  ai-cost-plot {
    height: 440px;
  }
  .narrow ai-cost-plot {
    height: 340px;
  }
  .placeholder {
    min-height: 200px;
    display: flex;
    align-items: center;
    padding: 0 32px;
    border: 1px dashed var(--line);
  }
  .placeholder p {
    max-width: 46em;
  }
  .key {
    display: flex;
    flex-wrap: wrap;
    gap: 2px 14px;
    font-size: 11px;
    color: var(--muted);
  }
  .mechanisms {
    width: 100%;
  }
  .mechanisms td,
  .mechanisms th {
    padding: 1px 8px 1px 0;
    white-space: nowrap;
  }
  .mechanisms th:not(:first-child) {
    text-align: right;
  }
  .mechanisms tbody tr:hover {
    background: var(--vscode-list-hoverBackground, #8881);
  }
  .mechanisms label {
    display: inline-flex;
    align-items: center;
    gap: 6px;
  }
  .mechanisms i {
    width: 14px;
    height: 3px;
  }
  .mechanisms input {
    margin: 0;
    accent-color: var(--vscode-contrastActiveBorder, var(--vscode-button-background, var(--focus)));
  }
  .refused {
    color: var(--muted);
  }
  .toolbar .status {
    padding: 0;
    min-height: 0;
  }
`;
