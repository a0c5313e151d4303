import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { DOCUMENT, withSections } from '../../scripts/mechanismDocs';
import { pictureTitle, PICTURES } from '../../scripts/mechanismPictures';

describe('docs/mechanisms.md', () => {
  const text = readFileSync(DOCUMENT, 'utf8');

  it('is what the mechanisms say of themselves', async () => {
    assert.equal(text, await withSections(text), 'npm run mechanism-docs writes it anew');
  });

  it('says something of every mechanism', () => {
    for (const { info, about } of mechanisms) {
      assert.match(info.paper, /\b(19|20)\d\d\b/, `${info.name} names its paper's year`);
      for (const [part, sentence] of Object.entries(about)) {
        assert.ok(sentence.length > 5 && !sentence.includes('\n'), `${info.name}: ${part}`);
      }
    }
  });

  it('has a picture of every mechanism, made with the parameters it is said to have', () => {
    const names = mechanisms.map(({ info }) => info.name);
    assert.deepEqual(readdirSync(PICTURES).sort(), names.map(name => `${name}.svg`).sort());
    for (const mechanism of mechanisms) {
      for (const example of mechanism.examples) readParams(mechanism.info, example); // They are its parameters.
      const svg = readFileSync(join(PICTURES, `${mechanism.info.name}.svg`), 'utf8');
      const title = pictureTitle(mechanism);
      assert.ok(svg.includes(`<title>${title}</title>`), `npm run mechanism-pictures: ${title}`);
      assert.ok(svg.length < 32_768 && /prefers-color-scheme/.test(svg));
    }
  });
});
