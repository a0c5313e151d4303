import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { measuredTable, readMeasured } from '../../scripts/lib/measured';

describe('what the README tells as measured', () => {
  it('is what the script wrote from its figures', () => {
    const readme = readFileSync('README.md', 'utf8');
    const [, section] = readme.split('<!-- npm run measured -->');
    assert.equal(section!.split('<!-- end -->')[0]!.trim(), measuredTable(readMeasured()));
  });

  it('rounds as it says', () => {
    const measured = readMeasured();
    const table = measuredTable({
      ...measured,
      analysis: [{ tokens: 1024, cpuRatio: 1.234, mib: 1000.4, plainMib: 2000 }],
      first: { tokens: 512, first: [1.01, 1.04], done: [2, 3] },
      plans: [{ kind: 'prose', plan: '-0.007 (-0.020 to +0.006)', difference: '+0.049 (+0.011 to +0.090)' }],
    });
    assert.match(table, /analysis of 1,024 tokens .* 1\.23x the CPU time, 1,000 MiB against 2,000 MiB/);
    assert.match(table, /first thumbnails after 1\.0 s, all done after 2\.0 to 3\.0 s/);
    assert.match(
      table,
      /held-out prose, .* -0\.01 \(-0\.02 to \+0\.01\); less the best single mechanism \+0\.05 \(/,
    );
  });
});
