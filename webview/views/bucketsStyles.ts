import { css } from 'lit';

export const bucketsStyles = css`
  .lead {
    min-height: 1.5em;
    margin: 2px 0 8px;
  }
  .lead strong {
    font-size: 1.15em;
  }
  ai-bucket-text {
    height: 220px;
    margin-bottom: 14px;
  }
  .list {
    display: flex;
    flex-wrap: wrap;
    gap: 4px;
    margin-bottom: 8px;
    max-height: 108px;
    overflow-y: auto;
    padding: 1px;
  }
  .list button {
    font: inherit;
    color: inherit;
    background: none;
    border: 1px solid var(--line);
    border-radius: 3px;
    padding: 2px 6px;
    cursor: pointer;
    display: inline-flex;
    align-items: center;
    gap: 5px;
    max-width: 100%;
  }
  .list button[aria-pressed='true'] {
    outline: 2px solid var(--focus);
    outline-offset: -1px;
  }
  .list i {
    flex: none;
    width: 10px;
    height: 10px;
  }
  .list .words {
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
    max-width: 16em;
  }
  details {
    margin-top: 14px;
  }
  summary {
    cursor: pointer;
    color: var(--muted);
  }
  .parts {
    display: grid;
    grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    gap: 14px 28px;
    margin-top: 16px;
  }
  .parts.narrow {
    grid-template-columns: minmax(0, 1fr);
  }
  .parts.wide {
    grid-template-columns: minmax(0, 1.2fr) minmax(0, 1fr) minmax(0, 1fr);
  }
  .parts:not(.wide) .missed {
    grid-column: 1 / -1;
  }
  section {
    min-width: 0;
  }
  ai-bucket-sizes {
    height: 170px;
  }
  .heading {
    display: flex;
    flex-wrap: wrap;
    gap: 2px 12px;
    align-items: baseline;
    min-height: 40px;
    align-content: flex-start;
  }
  .against {
    display: grid;
    grid-template-columns: max-content 1fr max-content;
    gap: 3px 8px;
    align-items: center;
    margin: 12px 0;
  }
  .against .track {
    height: 8px;
    background: var(--vscode-editorWidget-background, #8882);
    outline: 1px solid var(--vscode-contrastBorder, transparent);
  }
  .against .track > div {
    height: 100%;
    background: var(--accent);
  }
  .against .chance > div {
    background: var(--muted);
  }
  .missed table {
    width: 100%;
    max-width: 760px;
  }
  .shapes {
    display: inline-flex;
    gap: 10px;
    font-size: 11px;
    color: var(--muted);
  }
  .legends {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 24px;
    margin-top: 6px;
  }
`;
