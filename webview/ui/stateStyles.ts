import { css } from 'lit';

export const stateStyles = css`
  .state {
    padding: 24px 16px;
    max-width: 46em;
  }
  .state p {
    margin-bottom: 12px;
  }
  .buttons {
    display: flex;
    flex-wrap: wrap;
    gap: 8px;
  }
  .status {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 2px 12px;
    padding: 4px 0;
    min-height: 30px;
  }
  .progress {
    flex: 0 1 160px;
    min-width: 80px;
    height: 4px;
    background: var(--vscode-editorWidget-background, #8883);
    outline: 1px solid var(--vscode-contrastBorder, transparent);
  }
  .progress > div {
    height: 100%;
    background: var(--vscode-progressBar-background, var(--focus));
  }
  .status.stale {
    border-left: 3px solid var(--vscode-editorWarning-foreground, var(--accent2));
    padding-left: 8px;
  }
  /* Faded, and still legible: of grey, better and worse would be the same. */
  .is-stale {
    filter: saturate(0.4);
  }
`;
