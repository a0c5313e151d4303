import { css } from 'lit';

export const corpusStyles = css`
  h3 {
    margin: 16px 0 4px;
    font-size: 1em;
  }
  .about {
    padding-top: 8px;
  }
  .about .link {
    margin-left: 12px;
  }
  .two {
    display: grid;
    grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    gap: 0 28px;
  }
  .two h3:first-child {
    margin-top: 4px;
  }
  .excerpt {
    border-top: 1px solid var(--line);
    padding: 6px 0;
  }
  .excerpt pre {
    margin: 2px 0;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
    font-family: var(--vscode-editor-font-family, monospace);
  }
  .query {
    outline: 1px solid var(--focus);
  }
  .muted {
    color: var(--muted);
  }
  td {
    padding: 0 12px 0 0;
  }
  .legend {
    margin: 0 0 8px 60px;
    color: var(--muted);
  }
  .ramp {
    display: inline-block;
    width: 120px;
    height: 10px;
    border: 1px solid var(--muted);
  }
  .swatch {
    display: inline-block;
    width: 10px;
    height: 10px;
    border-radius: 5px;
    margin-left: 8px;
  }
`;
