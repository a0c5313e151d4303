/** The extension's page in VS Code, made of the README. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.mjs';

/**
 * Without what is for those who have the sources and without links into the repository; `pictures`: with those of the first
 * story inside, else with none. (vsce by itself accepts pictures only from the web.)
 * @param {string} readme @param {{ pictures: boolean }} options
 */
export const pageOf = (readme, { pictures }) =>
  readme
    .replace(/^English \|.*\n/m, '')
    .replace(/^## From a clone\n[\s\S]*?(?=^## )/m, '')
    .replace(/^.*<(img|picture|source)\b[^>]*>.*\n?/gm, '')
    .replace(/!\[([^\]]*)\]\((?!https:)([^)]*)\)/g, (_, alt, path) => (pictures ? inside(alt, path) : ''))
    .replace(/\[([^\]]+)\]\((?!https?:|data:|#)[^)]*\)/g, '$1')
    .replace(/\n{3,}/g, '\n\n');

/** The picture as part of the page; nothing where it is not of the story. @param {string} alt @param {string} path */
function inside(alt, path) {
  if (!path.startsWith('media/walkthrough/')) return '';
  return `![${alt}](data:image/png;base64,${readFileSync(join(ROOT, path)).toString('base64')})`;
}
