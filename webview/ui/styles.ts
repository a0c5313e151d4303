import { css } from 'lit';

/** What every component shares; all colours are the theme's. */
export const shared = css`
  :host {
    display: block;
    box-sizing: border-box;
    font-family: var(--vscode-font-family);
    font-size: var(--vscode-font-size, 13px);
    color: var(--vscode-foreground);
    font-variant-numeric: tabular-nums;
    --line: var(--vscode-contrastBorder, var(--vscode-panel-border, var(--vscode-widget-border, #8884)));
    --muted: var(--vscode-descriptionForeground);
    --focus: var(--vscode-focusBorder);
    --accent: var(--vscode-charts-blue, var(--vscode-focusBorder));
    /* Not charts.orange: newer themes dim it. This one has 3:1 on light and on dark. */
    --accent2: #c4760e;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h2 {
    font-size: 1em;
    font-weight: 600;
    margin: 0 0 4px;
  }
  p {
    margin: 0 0 6px;
  }
  .muted {
    color: var(--muted);
  }
  .number {
    text-align: right;
    white-space: nowrap;
  }
  :focus-visible {
    outline: 1px solid var(--focus);
    outline-offset: 1px;
  }
  .toolbar {
    display: flex;
    flex-wrap: wrap;
    gap: 6px 16px;
    align-items: center;
    padding: 6px 0;
  }
  .toolbar .end {
    margin-left: auto;
    display: flex;
    gap: 4px;
    align-items: center;
  }
  .control {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    white-space: nowrap;
    max-width: 100%;
  }
  .control > span {
    color: var(--muted);
  }
  .control vscode-dropdown {
    min-width: 9em;
    --input-min-width: 9em;
  }
  .slider input {
    accent-color: var(--vscode-contrastActiveBorder, var(--vscode-button-background, var(--focus)));
    width: 140px;
    min-width: 40px;
  }
  .slider output {
    min-width: 5em;
  }
  .segmented {
    display: inline-flex;
    /* In a very narrow panel its choices stand below each other. */
    flex-wrap: wrap;
    min-width: 0;
    border: 1px solid var(--vscode-dropdown-border, var(--line));
    border-radius: 3px;
  }
  .segmented button,
  button.plain {
    font: inherit;
    color: inherit;
    background: none;
    border: none;
    padding: 2px 8px;
    cursor: pointer;
  }
  .segmented button[aria-checked='true'] {
    /* High-contrast themes leave either of the two out: neither may be mixed with a colour of another pair. */
    background: var(--vscode-list-activeSelectionBackground, transparent);
    color: var(--vscode-list-activeSelectionForeground, inherit);
    outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
    outline-offset: -1px;
  }
  .segmented button:focus-visible {
    outline: 1px solid var(--focus);
    outline-offset: 1px;
  }
  .segmented button:hover:not([aria-checked='true']),
  button.plain:hover {
    background: var(--vscode-toolbar-hoverBackground, #8883);
  }
  button.plain {
    border-radius: 3px;
  }
  button.link {
    font: inherit;
    background: none;
    border: none;
    padding: 0;
    color: var(--vscode-textLink-foreground);
    cursor: pointer;
    text-align: inherit;
  }
  button.link:hover {
    text-decoration: underline;
  }
  code {
    font-family: var(--vscode-editor-font-family, monospace);
    font-size: 0.95em;
  }
  table {
    border-collapse: collapse;
  }
  th {
    font-weight: normal;
    color: var(--muted);
    text-align: left;
  }
  td,
  th {
    padding: 2px 8px 2px 0;
  }
  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  svg text {
    fill: var(--vscode-foreground);
    font-family: var(--vscode-font-family);
    font-size: 11px;
    font-variant-numeric: tabular-nums;
  }
  svg .axis line,
  svg .axis path {
    stroke: var(--muted);
    stroke-opacity: 0.5;
    fill: none;
  }
  svg .axis text,
  svg text.muted {
    fill: var(--muted);
  }
  svg .grid line {
    stroke: var(--muted);
    stroke-opacity: 0.14;
  }
`;
