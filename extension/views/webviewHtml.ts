import { randomBytes } from 'node:crypto';
import type { Place } from '../../shared/protocol/host';

export interface PageParts {
  place: Place;
  title: string;
  language: string;
  script: string;
  style: string;
  /** `webview.cspSource`. */
  source: string;
  /** In base64: what the page shows without an extension behind it, as an HTML report does. */
  data?: string;
  /** Messages in the user's language, as JSON; absent: English. */
  words?: string;
}

/** Hash of nothing: the toolkit's drop-down makes an empty style element, which does no harm. */
const EMPTY_STYLE = `'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='`;

/**
 * The page of a view. Nothing is allowed that is not named: our script by nonce, our style sheets and fonts by
 * source. Style attributes (positions of virtual lists) carry no code and are allowed inline; style elements only with the
 * nonce.
 */
export function webviewHtml({
  place,
  title,
  language,
  script,
  style,
  source,
  data,
  words,
}: PageParts): string {
  const nonce = randomBytes(16).toString('base64');
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    `style-src ${source} 'nonce-${nonce}' ${EMPTY_STYLE}`,
    `style-src-attr 'unsafe-inline'`,
    `img-src ${source} data: blob:`,
    `font-src ${source}`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${attribute(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${attribute(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${attribute(style)}">
<title>${attribute(title)}</title>
</head>
<body>
<attention-app data-place="${place}"></attention-app>
${words === undefined ? '' : `<script type="application/json" id="words">${words.replace(/</g, '\\u003c')}</script>`}
${data === undefined ? '' : `<script type="application/octet-stream" id="report-data">${data}</script>`}
<script nonce="${nonce}" type="module" src="${attribute(script)}"></script>
</body>
</html>`;
}

function attribute(text: string): string {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`);
}
