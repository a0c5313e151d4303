import assert from 'node:assert/strict';
import { reportHtml } from '../../engine/export/reportHtml';
import { NO_SCRIPT, type ReportPage } from '../../shared/reportData';

describe('the page of a report', () => {
  const data = { document: 'a.txt', version: '1', made: '2026-01-31' } as unknown as ReportPage;
  const bundle = { script: 'x()', style: '' };

  it('speaks English where no language is given', async () => {
    const page = await reportHtml(data, undefined, bundle);
    assert.match(page, /^<!DOCTYPE html>\n<html lang="en">/);
    assert.ok(page.includes(`<noscript>${NO_SCRIPT}</noscript>`));
    assert.ok(!page.includes('id="words"'));
  });

  it("speaks the user's, with the words that its views need before they draw", async () => {
    const words = { [NO_SCRIPT]: '需要 <脚本>。', 'token </script>': '词元 </script>' };
    const page = await reportHtml(data, { tag: 'zh-cn', words }, bundle);
    assert.match(page, /<html lang="zh-cn">/);
    assert.ok(page.includes('<noscript>需要 &#60;脚本&#62;。</noscript>'));
    const [, held] = /<script type="application\/json" id="words">(.*?)<\/script>/s.exec(page)!;
    assert.deepEqual(JSON.parse(held!), words);
    assert.ok(page.indexOf('id="words"') < page.indexOf('x()'));
  });
});
