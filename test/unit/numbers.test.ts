import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { interval, number, percent, plainPercent, signed } from '../../shared/numbers';

const ROOT = join(__dirname, '..', '..');

describe('the writing of numbers', () => {
  it('has at most three significant digits', () => {
    assert.equal(number(3.14159), '3.14');
    assert.equal(number(1234.5), '1,230');
    assert.equal(number(Number.NaN), '–');
    assert.equal(percent(0.93142), '93.1\u202f%');
    assert.equal(percent(0.0001), '0.01\u202f%');
    assert.equal(percent(0), '0\u202f%');
    assert.equal(signed(-0.5), '−0.5');
    assert.equal(signed(-0.0000512), '−5.1e−5');
  });

  it('keeps 100 % for all of it, and 0 % for none of it', () => {
    assert.equal(percent(1), '100\u202f%');
    assert.equal(percent(0.9997), '>\u202f99.9\u202f%');
    assert.equal(percent(1e-9), '<\u202f0.0001\u202f%');
  });

  it('in plain text has the same digits', () => {
    assert.equal(plainPercent(0.93142), '93.1 %');
    assert.equal(plainPercent(0.9997), '>99.9 %');
    assert.equal(plainPercent(-0.5), '-50 %');
  });

  it('stands in one place: no other file writes shares', () => {
    const files = ['engine', 'extension', 'webview'].flatMap(folder =>
      readdirSync(join(ROOT, folder), { recursive: true })
        .map(name => `${folder}/${String(name)}`)
        .filter(name => name.endsWith('.ts')),
    );
    const own = files.filter(file =>
      /function percent\b|const percent =(?! 100 \* fraction)|(\* 100|100 \*)[^;\n]*\.to(Fixed|Precision)\([^;\n]*\} %/.test(
        readFileSync(join(ROOT, file), 'utf8'),
      ),
    );
    assert.deepEqual(own, []);
    assert.ok(files.length > 200);
  });

  it('says of an interval without bounds that the tokens were too few', () => {
    assert.equal(interval({ low: -0.05, high: 0.1 }), '−0.05 to +0.1');
    assert.equal(interval({ low: -Infinity, high: Infinity }), 'too few tokens for an interval');
  });
});
