/** Which models are in the packages: the line of .vscodeignore, less what a large package has no room for (40 MB at most). The rest is in the release. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.mjs';

const LINE = /^!(engine\/bundled\/\{.*,zoo\/\{([\w,-]+)\}\}\/.*)$/m;
/** @type {Record<string, string[]>} */
const NO_ROOM = { 'win32-x64': ['transformer-xl'], 'win32-arm64': ['transformer-xl'] };

/** Names of the models of papers in the package of a platform. @param {string} [target] */
export function packedZoo(target) {
  const [, , names] = lineOf(readFileSync(join(ROOT, '.vscodeignore'), 'utf8'));
  return names.split(',').filter(name => !NO_ROOM[target ?? '']?.includes(name));
}

/** The bundled models' files as a pattern. */
export const packedModelFiles = () => lineOf(readFileSync(join(ROOT, '.vscodeignore'), 'utf8'))[1];

/** .vscodeignore for a platform. @param {string} ignored @param {string} target */
export function withModelsThatFit(ignored, target) {
  const [line, , names] = lineOf(ignored);
  return ignored.replace(line, line.replace(names, packedZoo(target).join()));
}

/** @param {string} ignored */
function lineOf(ignored) {
  const found = LINE.exec(ignored);
  if (!found) throw new Error('.vscodeignore names the bundled models in another way');
  return found;
}
