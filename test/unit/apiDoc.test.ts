import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

describe('docs/api.md', () => {
  it('is what the sources say (npm run api-doc)', async () => {
    const { API_DOC, apiDoc } = await import('../../scripts/apiDoc');
    const made = await apiDoc();
    assert.match(
      made,
      /### `analysis\/start`\n\n```ts\ntype Parameters = AnalyzeParams;\n\ntype Result = AnalysisSummary;/,
    );
    assert.equal(readFileSync(API_DOC, 'utf8'), made);
  }).timeout(60_000);
});
