import { css } from 'lit';

/** Height of a row of the list, in pixels. */
export const ROW = 24;

export const sideStyles = css`
  :host {
    height: 100%;
    display: flex;
    flex-direction: column;
    overflow: hidden;
    --list-hover: var(--vscode-list-hoverBackground, #8882);
  }
  .top {
    padding: 4px 10px;
    display: grid;
    grid-template-columns: minmax(0, 1fr);
    gap: 5px;
  }
  .top .control {
    display: grid;
    grid-template-columns: 58px 1fr;
  }
  .top vscode-dropdown,
  .top vscode-text-field {
    min-width: 0;
    width: 100%;
  }
  .top .control:has(vscode-text-field) {
    grid-template-columns: 1fr;
  }
  .taken {
    padding: 0 10px;
  }
  .list {
    flex: 1 1 50%;
    min-height: 96px;
    overflow-y: auto;
    position: relative;
    border-top: 1px solid var(--line);
    border-bottom: 1px solid var(--line);
  }
  .list:focus-visible {
    outline-offset: -1px;
  }
  .item {
    position: absolute;
    left: 0;
    right: 0;
    height: ${ROW}px;
    display: grid;
    /* The same in every row, so that bars can be compared. */
    grid-template-columns: 16px 58px minmax(0, 1fr) 62px;
    gap: 6px;
    align-items: center;
    padding: 0 10px;
    cursor: pointer;
    white-space: nowrap;
  }
  .item:hover {
    background: var(--list-hover);
  }
  .item[aria-selected='true'] {
    background: var(--vscode-list-activeSelectionBackground);
    color: var(--vscode-list-activeSelectionForeground, inherit);
    outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
    outline-offset: -1px;
  }
  .item .bar {
    height: 6px;
  }
  .item .bar > div {
    height: 100%;
    background: var(--accent);
  }
  .item[aria-selected='true'] .bar > div {
    background: currentColor;
  }
  .detail {
    flex: 1 1 50%;
    overflow-y: auto;
    padding: 8px 10px 12px;
  }
  .who {
    display: grid;
    grid-template-columns: 72px 1fr;
    gap: 10px;
    margin-bottom: 8px;
  }
  ai-thumb {
    width: 72px;
    height: 72px;
    outline: 1px solid var(--line);
    cursor: pointer;
  }
  ai-distance {
    height: 96px;
    margin-bottom: 10px;
  }
`;
