/** The page of an .onnx file: plain HTML without scripts; what it shows of the file is text. */
import { visible } from '../../shared/foreign';
import { nativeWords } from '../../shared/native';
import { number } from '../../shared/numbers';
import type { GraphValue, ModelFileFacts, ModelInfo, ModelInspection } from '../../shared/protocol/engine';

export interface ModelPageParts {
  name: string;
  /** A BCP 47 tag. */
  language: string;
  /** `webview.cspSource`. */
  source: string;
  /** What is known so far. */
  state:
    | { note: string; actions: readonly PageAction[] }
    | { inspection: ModelInspection; actions: readonly PageAction[] };
  t(message: string, ...values: (string | number)[]): string;
}

/** A command that the page may run. */
export interface PageAction {
  label: string;
  command: string;
  args: readonly unknown[];
  primary?: boolean;
}

const STYLE = `
body { max-width: 62rem; margin: 0 auto; padding: 1rem 1.5rem 3rem; color: var(--vscode-foreground);
  font-family: var(--vscode-font-family); font-size: var(--vscode-font-size); }
h1 { font-size: 1.5em; font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.1em; font-weight: 600; margin-top: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.4em; }
th, td { text-align: left; padding: 0.25em 1.2em 0.25em 0; vertical-align: top; overflow-wrap: anywhere; }
thead th { border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder)); }
th[scope=row] { font-weight: normal; color: var(--vscode-descriptionForeground); white-space: nowrap; }
.scroll { overflow-x: auto; }
.refused { border-left: 3px solid var(--vscode-editorWarning-foreground); padding-left: 0.8em; }
.actions { display: flex; flex-wrap: wrap; gap: 0.6em; margin: 1.2em 0; }
.action { padding: 0.4em 1em; border-radius: 2px; text-decoration: none; color: var(--vscode-button-secondaryForeground);
  background: var(--vscode-button-secondaryBackground); border: 1px solid var(--vscode-button-border, transparent); }
.action.primary { color: var(--vscode-button-foreground); background: var(--vscode-button-background); }
.action:focus-visible { outline: 2px solid var(--vscode-focusBorder); outline-offset: 2px; }
`;

export function modelPage({ name, language, source, state, t }: ModelPageParts): string {
  const policy = `default-src 'none'; style-src ${source} 'unsafe-inline'`;
  const actions = state.actions.map(actionLink).join('\n');
  const body = 'note' in state ? `<p role="status">${escaped(state.note)}</p>` : found(state.inspection, t);
  return `<!DOCTYPE html>
<html lang="${escaped(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(name)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(name)}</h1>
${actions && `<p class="actions">${actions}</p>`}
${body}
</main>
</body>
</html>`;
}

type Translate = ModelPageParts['t'];

function found({ facts, info, refused }: ModelInspection, t: Translate): string {
  return [
    refused === null ? '' : `<p class="refused" role="status">${escaped(refused)}</p>`,
    info ? modelTable(info, facts, t) : '',
    info ? coreTable(info, t) : '',
    facts ? fileTables(facts, t) : '',
  ].join('\n');
}

function modelTable(info: ModelInfo, facts: ModelFileFacts | null, t: Translate): string {
  const { verified } = info;
  const same = verified.bitEqual
    ? t('identical bits when ONNX Runtime runs the cores')
    : t('not identical in bits when ONNX Runtime runs the cores');
  return pairs(t('Model'), [
    [t('kind'), info.kind],
    [t('layers'), info.layers],
    [t('heads'), info.heads],
    [t('parameters'), number(info.parameters)],
    [t('context'), info.context === null ? t('no limit') : t('{0} tokens', info.context)],
    [t('predicts the next token'), info.languageModelHead ? t('yes') : t('no')],
    [
      t('verified'),
      t(
        '{0}: largest difference {1} ({2} of the largest output); {3}',
        verified.reference,
        scientific(verified.maxAbsDiff),
        scientific(verified.maxRelDiff),
        same,
      ),
    ],
    ...(verified.assumed ? [[t('assumed'), verified.assumed] as const] : []),
    ...(facts && !facts.tokenizer
      ? [
          [
            t('tokenizer'),
            t('missing: without tokenizer.json, vocab.txt or vocab.json beside it no text can be analyzed'),
          ] as const,
        ]
      : []),
  ]);
}

function coreTable({ cores }: ModelInfo, t: Translate): string {
  const head = [
    t('core'),
    t('kind'),
    t('layer'),
    t('heads'),
    t('key/value heads'),
    t('size'),
    t('mask'),
    t('attention'),
  ];
  const rows = cores.map(core => [
    core.core,
    core.kind,
    core.layer,
    core.heads,
    core.kvHeads,
    core.dim,
    core.mask,
    nativeWords(core.attention, t) ?? t('dense'),
  ]);
  return section(t('Attention cores'), table(head, rows));
}

function fileTables(facts: ModelFileFacts, t: Translate): string {
  const opsets = facts.opsets.map(({ domain, version }) => `${domain || 'ai.onnx'} ${version}`).join(', ');
  return [
    pairs(t('File'), [
      [t('size with its weights'), t('{0} MB', (facts.bytes / 1e6).toFixed(1))],
      [t('opset'), opsets],
      [t('IR version'), facts.irVersion],
      [t('made by'), facts.producer || '–'],
      [t('operators'), facts.nodes],
    ]),
    section(t('Inputs'), valueTable(facts.inputs, t)),
    section(t('Outputs'), valueTable(facts.outputs, t)),
  ].join('\n');
}

function valueTable(values: readonly GraphValue[], t: Translate): string {
  const rows = values.map(({ name, type, dims }) => [
    name,
    type,
    dims ? dims.join(' × ') || t('one number') : '?',
  ]);
  return table([t('name'), t('type'), t('sizes')], rows);
}

type Cell = string | number;

function pairs(title: string, rows: readonly (readonly [string, Cell])[]): string {
  const lines = rows.map(
    ([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`,
  );
  return section(title, `<table><tbody>${lines.join('\n')}</tbody></table>`);
}

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = (row: readonly Cell[], tag: string) =>
    row.map(cell => `<${tag}>${escaped(cell)}</${tag.split(' ')[0]}>`).join('');
  const body = rows.map(row => `<tr>${cells(row, 'td')}</tr>`).join('\n');
  return `<table><thead><tr>${cells(head, 'th scope="col"')}</tr></thead><tbody>${body}</tbody></table>`;
}

const section = (title: string, content: string): string =>
  `<section><h2>${escaped(title)}</h2><div class="scroll" tabindex="0" role="region" aria-label="${escaped(title)}">${content}</div></section>`;

function actionLink({ label, command, args, primary }: PageAction): string {
  const href = `command:${command}?${encodeURIComponent(JSON.stringify(args))}`;
  return `<a class="action${primary ? ' primary' : ''}" role="button" href="${escaped(href)}">${escaped(label)}</a>`;
}

const scientific = (value: number): string => (value === 0 ? '0' : value.toExponential(1));

function escaped(text: string | number): string {
  return visible(String(text)).replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}
