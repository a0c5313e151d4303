import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as l10n from '@vscode/l10n';
import { mechanismInfos } from '../../engine/attention/registry';
import { mechanismWords } from '../../webview/host/mechanismWords';
import { WORDS, MANIFEST, type Words } from '../../scripts/manifest';
import { ROOT } from '../fixtures/cli';
import { messages } from '../fixtures/messages';
import { wordsOfTemplates } from '../fixtures/untranslated';

const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Words;

/** The values that a message takes, and the commands that its links run: a translation has the same. */
function holes(text: string): string[] {
  return [...text.matchAll(/\{\d\}|\(command:[\w.]+\)|`[^`]+`|#[\w.]+#/g)].map(([hole]) => hole).sort();
}

function assertTranslated(original: Words, translated: Words): void {
  assert.deepEqual(
    Object.keys(original).filter(key => !translated[key]?.trim()),
    [],
    'not translated',
  );
  assert.deepEqual(
    Object.keys(translated).filter(key => original[key] === undefined),
    [],
    'translated, and there no more',
  );
  for (const [key, text] of Object.entries(original))
    assert.deepEqual(holes(translated[key]!), holes(text), key);
}

describe('Simplified Chinese', () => {
  it('has every word of the manifest', () => {
    assertTranslated(read('package.nls.json'), read('package.nls.zh-cn.json'));
  });

  it('has every message of the extension and of its views', () => {
    const found = [...messages(['extension', 'shared', 'webview']).keys()];
    assert.ok(found.length > 200);
    assertTranslated(
      Object.fromEntries(found.map(text => [text, text])),
      read('l10n/bundle.l10n.zh-cn.json'),
    );
  });

  it('has a place for every word of the views: none stands in their templates as it is', () => {
    // What is called the same in every language.
    assert.deepEqual(wordsOfTemplates('webview', ['CSV', '1.5-entmax', 'top-95 %']), []);
  });

  it('is Chinese', () => {
    const kept = Object.values({ ...read('package.nls.zh-cn.json'), ...read('l10n/bundle.l10n.zh-cn.json') });
    const latin = kept.filter(text => !/\p{Script=Han}/u.test(text));
    const names = mechanismInfos.map(({ title }) => title).filter(title => latin.includes(title));
    assert.ok(names.length < mechanismInfos.length / 2, 'titles that are no names are translated');
    const same = ['Attention Inspector', 'org/name', '{0} MB', ...names];
    assert.deepEqual(latin.sort(), same.sort());
  });

  it('says what the engine says of its mechanisms, names and values of settings as they are', () => {
    l10n.config({ contents: read('l10n/bundle.l10n.zh-cn.json') });
    try {
      const local = mechanismWords(mechanismInfos).find(({ name }) => name === 'local')!;
      assert.equal(local.title, '局部窗口');
      assert.match(local.summary, /词元/);
      assert.deepEqual(
        local.parameters.map(({ name, default: value }) => [name, value]),
        mechanismInfos.find(({ name }) => name === 'local')!.parameters.map(p => [p.name, p.default]),
      );
      const fixed = mechanismWords(mechanismInfos).flatMap(({ parameters }) => parameters);
      for (const { description, defaultRule } of fixed) {
        assert.match(description, /\p{Script=Han}/u);
        if (defaultRule) assert.match(defaultRule, /\p{Script=Han}/u);
      }
    } finally {
      l10n.config({ contents: {} });
    }
  });

  it('has a README with the same story', () => {
    const pictures = (file: string) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\]\((media\/walkthrough\/\w+\.png)\)/g)].map(
        ([, it]) => it,
      );
    assert.ok(pictures('README.md').length > 3);
    assert.deepEqual(pictures('README.zh-CN.md'), pictures('README.md'));
  });

  it('leaves nothing of the manifest that users read in one language only', () => {
    const words = read(WORDS.slice(ROOT.length + 1));
    const used = new Set<string>();
    const visit = (value: unknown, key = ''): void => {
      if (typeof value === 'string') {
        const word = /^%(.+)%$/.exec(value)?.[1];
        if (word) used.add(word);
        else if (READ.test(key)) assert.fail(`${key}: ${value}`);
      } else if (value && typeof value === 'object')
        for (const [name, one] of Object.entries(value)) {
          // What a language model reads is in one language: its schema and what it is told of a tool.
          if (name === 'inputSchema' || name === 'modelDescription') continue;
          visit(one, Array.isArray(value) ? key : name);
        }
    };
    const { contributes, capabilities, displayName, description } = JSON.parse(
      readFileSync(MANIFEST, 'utf8'),
    );
    visit({ contributes, capabilities, displayName, description });
    assert.deepEqual(
      [...used].filter(key => words[key] === undefined),
      [],
    );
    assert.deepEqual(
      Object.keys(words).filter(key => !used.has(key) && key !== 'mechanism.dense'),
      [],
    );
  });
});

const READ =
  /^(title|shortTitle|category|label|displayName|description|markdownDescription|enumDescriptions|altText|contextualTitle|userDescription|contents)$/;
