import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { compiled, compiledFile } from '../../scripts/kernels';

describe('compiled kernels', () => {
  it('are what their source compiles to', () => {
    const bytes = readFileSync(compiledFile('pairs'), 'utf8');
    assert.equal(bytes.replaceAll('\r\n', '\n'), compiled('pairs'), 'run `npm run kernels`');
  });
});
