/**
 * A report as one HTML file that needs nothing else: the built views (dist/webview.js and .css) and the data of one analysis, or of
 * the profile of a corpus, inside, compressed. It opens from a disk without a network. Its policy lets nothing in: the one script by its hash, no connections.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { RefusedError } from '../errors';
import { pack } from '../../shared/packed';
import type { PageLanguage } from '../../shared/protocol/exports';
import { NO_SCRIPT, type ReportPage } from '../../shared/reportData';
import { REPORT_STYLE } from './reportStyle';

export interface ViewBundle {
  script: string;
  style: string;
}

/** Hash of nothing: the toolkit's drop-down makes an empty style element, which does no harm. */
const EMPTY_STYLE = `'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='`;

/** @param language of the page and its views; English where none is given */
export async function reportHtml(
  data: ReportPage,
  language?: PageLanguage,
  bundle?: ViewBundle,
): Promise<string> {
  const { script, style } = bundle ?? (await builtViews());
  const code = inlineScript(script);
  const css = `${REPORT_STYLE}\n${style}`.replaceAll('</style', '<\\/style');
  const packed = await promisify(gzip)(pack(data), { level: 9 });
  const policy = [
    `default-src 'none'`,
    `script-src ${hashOf(code)}`,
    `style-src ${hashOf(css)} ${EMPTY_STYLE}`,
    `style-src-attr 'unsafe-inline'`,
    `img-src data: blob:`,
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${text(language?.tag ?? 'en')}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${text(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Attention Inspector ${text(data.version)}">
<title>${text(data.document)} · Attention Inspector</title>
<style>${css}</style>
</head>
<body class="report">
<attention-app data-place="panel"></attention-app>
<noscript>${text(language?.words[NO_SCRIPT] ?? NO_SCRIPT)}</noscript>
${language ? `<script type="application/json" id="words">${JSON.stringify(language.words).replace(/</g, '\\u003c')}</script>` : ''}
<script type="application/octet-stream" id="report-data">${packed.toString('base64')}</script>
<script type="module">${code}</script>
</body>
</html>
`;
}

/** The views as the build made them: beside the running program, or in the dist folder of a clone, whose program is bundled or not. */
async function builtViews(): Promise<ViewBundle> {
  const folders = [__dirname, ...['..', '../..'].map(up => join(__dirname, up, 'dist'))];
  const folder = folders.find(each => existsSync(join(each, 'webview.js')));
  if (!folder) throw new RefusedError('The views of the report are not built: dist/webview.js is missing.');
  const [script, style] = await Promise.all(
    ['webview.js', 'webview.css'].map(name => readFile(join(folder, name), 'utf8')),
  );
  return { script: script!, style: style! };
}

/** Without what would end the element or change how it is read; both spellings mean the same in strings and patterns. */
function inlineScript(code: string): string {
  return code
    .replace(/\/\/# sourceMappingURL=.*\s*$/, '')
    .replaceAll('<!--', '\\x3c!--')
    .replace(/<(?=\/script)/gi, '\\x3c');
}

function hashOf(content: string): string {
  return `'sha256-${createHash('sha256').update(content, 'utf8').digest('base64')}'`;
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}
