import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import type { MechanismInfo, ParameterInfo } from '../../shared/protocol/engine';
import { pictureTitle, PICTURES, SHOWN } from '../../scripts/mechanismPictures';

const DOCUMENT = join(__dirname, '../../docs/mechanisms.md');

/** docs/mechanisms.md has every mechanism, its picture and its parameters. UPDATE_DOCS=1 writes the parameters anew. */
describe('docs/mechanisms.md', () => {
  let text: string;
  before(async () => {
    text = await readFile(DOCUMENT, 'utf8');
  });

  it('has the parameters of the registry', async () => {
    const { format, resolveConfig } = await import('prettier');
    const filled = mechanisms.reduce((all, { info }) => withParameters(all, info), text);
    const expected = await format(filled, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown' });
    if (process.env['UPDATE_DOCS'] === '1') await writeFile(DOCUMENT, expected);
    else assert.equal(text, expected, 'UPDATE_DOCS=1 writes the tables anew');
  });

  it('has a section for every mechanism and none besides', () => {
    const sections = [...text.matchAll(/<!-- parameters of (\S+) -->/g)].map(([, name]) => name);
    assert.deepEqual(
      sections,
      sections.filter((name, at) => sections.indexOf(name) === at),
    );
    assert.deepEqual(sections.sort(), mechanisms.map(({ info }) => info.name).sort());
    for (const { info } of mechanisms) {
      const section = sectionOf(text, info.name);
      for (const part of ['**Paper:**', '**Exact or not:**', '**Cost:**', '**When:**']) {
        assert.ok(section.includes(part), `${info.name}: ${part}`);
      }
      const year = /\b(19|20)\d\d\b/.exec(info.paper)?.[0];
      assert.ok(!year || section.includes(year), `${info.name} names its paper of ${year}`);
    }
  });

  it('has a picture of every mechanism, made with the parameters it is said to have', async () => {
    const names = mechanisms.map(({ info }) => info.name);
    assert.deepEqual(Object.keys(SHOWN).sort(), [...names].sort());
    assert.deepEqual(readdirSync(PICTURES).sort(), names.map(name => `${name}.svg`).sort());
    for (const { info } of mechanisms) {
      assert.ok(sectionOf(text, info.name).includes(`../media/mechanisms/${info.name}.svg`), info.name);
      const path = join(PICTURES, `${info.name}.svg`);
      assert.ok(existsSync(path));
      const svg = await readFile(path, 'utf8');
      readParams(info, SHOWN[info.name]!); // They are its parameters.
      const title = pictureTitle(info);
      assert.ok(svg.includes(`<title>${title}</title>`), `npm run mechanism-pictures: ${title}`);
      assert.ok(svg.length < 32_768 && /prefers-color-scheme/.test(svg));
    }
  });
});

/** From the heading above the mechanism's parameters to the next heading. */
function sectionOf(text: string, name: string): string {
  const at = text.indexOf(`<!-- parameters of ${name} -->`);
  const end = text.indexOf('\n## ', at);
  return text.slice(text.lastIndexOf('\n## ', at), end < 0 ? undefined : end);
}

function withParameters(text: string, { name, parameters }: MechanismInfo): string {
  const mark = `<!-- parameters of ${name} -->`;
  const from = text.indexOf(mark) + mark.length;
  const to = text.indexOf('<!-- end -->', from);
  assert.ok(from >= mark.length && to > 0, `a place for the parameters of ${name}`);
  const table =
    parameters.length === 0
      ? 'No parameters.'
      : ['| parameter | default | |', '| --- | --- | --- |', ...parameters.map(rowOf)].join('\n');
  return `${text.slice(0, from)}\n\n${table}\n\n${text.slice(to)}`;
}

function rowOf({ name, default: value, defaultRule, choices, description }: ParameterInfo): string {
  const otherwise = value === null ? (defaultRule ?? '') : `\`${value === '' ? '(empty)' : String(value)}\``;
  const among = choices ? ` One of ${choices.map(choice => `\`${choice}\``).join(', ')}.` : '';
  return `| \`${name}\` | ${otherwise} | ${(description + among).replaceAll('|', '\\|')} |`;
}
