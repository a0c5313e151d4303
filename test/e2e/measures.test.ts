import assert from 'node:assert/strict';
import { interval, number, percent, signed } from '../../shared/numbers';
import { verdictOf } from '../../shared/uncertainty';
import type { SaveFileParams, ViewState } from '../../shared/protocol/host';
import { ready } from '../webview/fakeHost';
import { editedAnalysis, withLoss } from '../webview/syntheticPair';
import { setting } from '../support/settings';
import { violations } from './support/accessibility';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';

/** What the engine says of heads and of the whole model beyond attention, where views show it: over the synthetic engine. */
describe('measures beyond attention', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 2, heads: 3, tokens: 150 });
  const head = { core: 1, head: 1 };
  const asked = <T>(method: string) =>
    views
      .sent('request')
      .filter(one => one.method === method)
      .map(({ params }) => params as T);
  const savedCsv = async (): Promise<string[]> => {
    const saved = await until(() => asked<SaveFileParams>('host/saveFile')[0]);
    return String(saved.data).trim().split('\r\n');
  };

  it('weighs the map by values: legend, readout, twin and CSV say which', async () => {
    const { page } = await views.open({
      view: { view: 'head', options: { head: { mode: 'matrix' } } },
      selection: { ...head, token: 60 },
    });
    await page.locator('ai-head ai-legend .title', { hasText: 'mass' }).waitFor();
    await page.getByRole('radio', { name: 'attention × value' }).click();
    await page.locator('ai-head ai-legend .title', { hasText: 'value-weighted share' }).waitFor();
    await page.getByText('each weight times the length of what its key’s value adds').waitFor();
    const weights = await views.engine.request('analysis/valueWeights', { id: 'a', ...head });
    const attention = views.engine.row(1, 1, 60);
    const shares = attention.map((mass, key) => (mass * weights.norms[key]!) / weights.sums[60]!);
    const heaviest = shares.indexOf(Math.max(...shares));
    await until(
      async () =>
        (await page.locator('ai-map #twin td').last().count()) > 0 &&
        (await page.locator('ai-map #twin td').nth(2).innerText()) === percent(shares[heaviest]!),
    );
    assert.equal(await page.locator('ai-map #twin th').nth(2).innerText(), 'value-weighted share');
    assert.equal(await page.locator('ai-map #twin td').first().innerText(), String(heaviest));
    const box = (await page.locator('ai-map canvas.over').boundingBox())!;
    await page.mouse.move(Math.round(box.x + 150), Math.round(box.y + box.height * 0.6));
    const status = page.locator('ai-head [role="status"]').first();
    const words = await until(async () =>
      /value-weighted \(/.test(await status.innerText()) ? status.innerText() : '',
    );
    const [, query, key] = /\((\d+)\) → key .*?\((\d+)\): /.exec(words)!.map(Number) as [
      number,
      number,
      number,
    ];
    const mass = views.engine.row(1, 1, query)[key]!;
    const norm = weights.norms[key]!;
    const share = percent((mass * norm) / weights.sums[query]!);
    assert.ok(
      words.endsWith(
        `${share} value-weighted (${percent(mass)} of its attention, value ${number(norm)} long)`,
      ),
      words,
    );
    await page.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /value-weighted share/);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('words: weighed by values as the map is', async () => {
    const { page } = await views.open({
      view: { view: 'head', options: { head: { mode: 'words', weigh: 'values' } } },
      selection: { ...head, token: 60 },
    });
    await page.locator('ai-head-words .left li').first().waitFor();
    assert.equal(asked<{ byValue?: boolean }>('analysis/token').at(-1)!.byValue, true);
    await page.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /value-weighted share$/);
  });

  it('words of the whole model: rollout, with its loading and its failure', async () => {
    let fails = true;
    const { page, host } = await views.open({
      view: { view: 'head', options: { head: { mode: 'words' } } },
      selection: { ...head, token: 60 },
      beforeAnswer: method => {
        if (method === 'analysis/rollout' && fails) throw new Error('The memory limit is reached.');
      },
    });
    await page.getByRole('radio', { name: 'the whole model' }).click();
    await page.getByText('The memory limit is reached.').waitFor();
    fails = false;
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('heading', { name: 'what it holds came from' }).waitFor();
    assert.equal(await page.getByText('is looked at by').count(), 0, 'of a head only');
    const { tokens } = asked<{ tokens: number[] }>('analysis/rollout').at(-1)!;
    assert.ok(tokens.includes(60));
    const { rows } = await views.engine.request('analysis/rollout', { id: 'a', tokens });
    const own = rows.reduce((sum, row) => sum + tokens.reduce((part, token) => part + row[token]!, 0), 0);
    const first = page.locator('ai-head-words .left li', { hasText: 'itself' });
    assert.ok((await first.innerText()).includes(percent(own / rows.length)));
    await page.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /rollout$/);
    host.select({ token: 90 });
    await until(() => asked<{ tokens: number[] }>('analysis/rollout').at(-1)!.tokens.includes(90));
  });

  it('which heads write the token that comes: bars, numbers, another token, CSV', async () => {
    const { page, host } = await views.open({
      view: { view: 'text', options: {} },
      analysis: ready(withLoss(structuredClone(views.summary))),
      selection: { ...head, token: 60 },
    });
    await page.getByRole('heading', { name: 'Heads that write the next token' }).waitFor();
    assert.equal(asked('analysis/tokenAttribution').length, 0, 'not before it is opened');
    const panel = page.locator('ai-attribution');
    await panel.getByRole('button', { name: 'Show' }).click();
    await panel.getByRole('listitem').first().waitFor();
    const toward = async (answer?: number) => {
      const params = { id: 'a', token: 60, ...(answer !== undefined && { answer }) };
      const { heads } = await views.engine.request('analysis/tokenAttribution', params);
      return heads.sort((a, b) => b.logit - a.logit);
    };
    const [first] = await toward();
    const top = panel.locator('.rows .number').first();
    assert.equal(await top.innerText(), signed(first!.logit));
    await panel.locator('.rows button').first().click();
    await until(() => host.selection.core === first!.core && host.selection.head === first!.head);
    await panel.getByText('All heads as a table').click();
    assert.equal(await panel.locator('details tr').count(), 1 + 6);
    await panel.locator('vscode-dropdown').click();
    await panel.getByRole('option', { name: '“word3”' }).click();
    const [other] = await toward(3);
    await until(async () => (await top.innerText()) === signed(other!.logit));
    await panel.getByRole('button', { name: 'as CSV' }).click();
    const rows = await savedCsv();
    assert.match(rows[0]!, /logit,loss without it \[nats\]$/);
    assert.equal(rows.length, 1 + 6);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('which heads write on the whole text: a measure of the overview, that can be stopped', async () => {
    const waiting: (() => void)[] = [];
    const { page, host } = await views.open({
      analysis: ready(withLoss(structuredClone(views.summary))),
      selection: head,
      beforeAnswer: method => {
        if (method === 'analysis/attribution') return new Promise<void>(resolve => waiting.push(resolve));
      },
    });
    await page.getByRole('button', { name: 'Who writes?' }).click();
    await page.getByText('The engine works.').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await until(() => views.sent('cancelRequest').length === 1);
    await page.getByRole('button', { name: 'Who writes?' }).click();
    await until(() => waiting.length === 2);
    host.hear('analysis/progress', { id: 'a', phase: 'propagate', fraction: 0.25, message: '' });
    await page.getByText('25 % done').waitFor();
    for (const answer of waiting) answer();
    const { heads } = await views.engine.request('analysis/attribution', { id: 'a' });
    const mine = heads.find(one => one.core === 1 && one.head === 1)!;
    const detail = page.locator('ai-overview .detail');
    await until(async () => (await detail.innerText()).includes('adds to the next logit (direct)'));
    const words = await detail.innerText();
    assert.ok(words.includes(`${signed(mine.logit.delta)} (95 %: ${interval(mine.logit)})`), words);
    assert.equal(await page.getByRole('button', { name: 'Who writes?' }).count(), 0);
    await page.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /direct path \[nats\].*copying \[share\]/);
  });

  it('the loss by frequency and context, with its intervals, and in another text that was analysed', async () => {
    const other = editedAnalysis(views.text, { layers: 2, heads: 3, tokens: 150 });
    const propagated = {
      ...views.engine.mechanism(setting('local', { window: 64 })),
      scope: 'propagated' as const,
    };
    const summary = withLoss(structuredClone(views.summary));
    const run = { ...propagated, deltaLoss: 0, deltaLossPerToken: new Float32Array(149) };
    const { page } = await views.open({
      view: { view: 'text', options: { text: { show: 'loss' } } },
      analysis: ready({ ...summary, mechanisms: [...summary.mechanisms, run] }),
      others: [other],
    });
    const table = (name: string) => page.getByRole('region', { name }).locator('tr');
    await table('Loss by occurrences').nth(1).waitFor();
    const { mechanisms } = asked<{ mechanisms: object[] }>('analysis/lossGroups')[0]!;
    assert.equal(mechanisms.length, 1, 'what was run already, and nothing else');
    const cells = (await table('Loss by occurrences').nth(2).locator('th, td').allInnerTexts()).map(text =>
      text.trim(),
    );
    assert.deepEqual([cells[0], cells[1]], ['10–99', '41']);
    assert.match(cells[3]!, /^4 3\.7 to 4\.3$/);
    assert.match(cells[4]!, /^\+0\.02 /);
    assert.equal(await table('Loss by tokens before').last().locator('th').innerText(), '64 or more');
    await page.getByText('Effective context: from 32 tokens').waitFor();
    await page.locator('ai-loss-groups vscode-dropdown').click();
    await page.getByRole('option', { name: 'as analyzed before' }).click();
    await page.getByText(`among ${views.text.length.toLocaleString('en')} tokens`).waitFor();
    await page.getByRole('button', { name: 'Save the loss by groups as CSV' }).click();
    assert.equal((await savedCsv()).length, 1 + 3 + 4);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('the text by rollout: shares of the pinned token', async () => {
    const { page } = await views.open({
      view: { view: 'text', options: {} },
      selection: { ...head, token: 60 },
    });
    await page.getByRole('radio', { name: 'rollout from pinned' }).click();
    await page.locator('ai-text .lead', { hasText: 'in the whole model' }).waitFor();
    const { rows } = await views.engine.request('analysis/rollout', { id: 'a', tokens: [60] });
    const largest = percent(Math.max(...rows[0]!));
    await until(async () => (await page.locator('ai-text .swatch').first().innerText()) === largest);
    await page.locator('ai-text ai-legend .title', { hasText: 'rollout' }).waitFor();
    await page.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /rollout of token 60/);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('patching between the two texts of A and B: each head, both ways, by answer and by loss', async () => {
    const other = editedAnalysis(views.text, { layers: 2, heads: 3, tokens: 150 });
    const waiting: (() => void)[] = [];
    const { page } = await views.open({
      view: { view: 'pair', options: { pair: { kind: 'text' } } },
      analysis: ready(withLoss(structuredClone(views.summary))),
      selection: { ...head, token: 60 },
      others: [other],
      beforeAnswer: method => {
        if (method === 'analysis/patch') return new Promise<void>(resolve => waiting.push(resolve));
      },
    });
    const panel = page.locator('ai-patching');
    const start = panel.getByRole('button', { name: 'Patch every head' });
    await start.click();
    await panel.getByRole('button', { name: 'Cancel' }).click();
    await until(() => views.sent('cancelRequest').length > 0);
    await start.click();
    await until(() => waiting.length === 2);
    for (const answer of waiting.splice(0)) answer();
    const first = await views.engine.request('analysis/patch', { id: 'a', from: 'other', at: 60 });
    assert.deepEqual(asked('analysis/patch').at(-1), { id: 'a', from: 'other', at: 60 });
    const share = (value: number) => (value > 0 ? `+${percent(value)}` : `−${percent(-value)}`);
    const cell = (at: number) =>
      panel.locator(`.grid [data-head="${first.heads[at]!.core}.${first.heads[at]!.head}"]`);
    await cell(0).waitFor();
    for (const [at, { restored }] of first.heads.entries())
      assert.equal((await cell(at).innerText()).trim(), share(restored!));
    assert.match(
      await panel.locator('p[role="status"]').innerText(),
      /^A goes on with “low”, B with “high”\. .* is −3\.5 in A and \+4\.5 in B\. Of that way/,
    );
    await panel.getByRole('radio', { name: 'loss' }).click();
    await until(async () => (await cell(0).innerText()).trim() === signed(first.heads[0]!.loss.delta));
    for (const [at, { loss }] of first.heads.entries()) {
      const coloured = await cell(at).evaluate(button => button.parentElement!.style.background !== '');
      assert.equal(coloured, verdictOf(loss) !== 'undecided', 'no colour where the interval holds 0');
      assert.ok((await cell(at).getAttribute('title'))!.includes(interval(loss)));
    }
    await panel.getByRole('button', { name: 'as CSV' }).click();
    assert.equal((await savedCsv()).length, 1 + first.heads.length);
    assert.deepEqual(await violations(page.mainFrame()), []);
    // The other way it is another run.
    await panel.getByRole('radio', { name: 'A into B' }).click();
    await start.click();
    await until(() => waiting.length === 1);
    assert.deepEqual(asked('analysis/patch').at(-1), { id: 'other', from: 'a', at: 60 });
    for (const answer of waiting) answer();
  });

  it('patching of the residual stream by layer and token, and of the edges of a head', async () => {
    const { page } = await views.open({
      view: { view: 'pair', options: { pair: { kind: 'text' } } },
      analysis: ready(withLoss(structuredClone(views.summary))),
      selection: { ...head, token: 60 },
      others: [editedAnalysis(views.text, { layers: 2, heads: 3, tokens: 150 })],
    });
    const panel = page.locator('ai-patching');
    const share = (value: number) => (value > 0 ? `+${percent(value)}` : `−${percent(-value)}`);
    await panel.getByRole('radio', { name: 'residual stream' }).click();
    await panel.getByRole('button', { name: 'Patch every layer and token' }).click();
    const given = { id: 'a', from: 'other', at: 60 };
    const { tokens, cells } = await views.engine.request('analysis/patchResidual', given);
    for (const { core, token, restored } of cells) {
      const cell = panel.locator(`.grid [data-head="${core} ${token}"]`);
      await cell.waitFor();
      assert.equal((await cell.innerText()).trim(), share(restored!));
    }
    assert.equal(await panel.locator('.grid tr').first().locator('th').count(), 1 + tokens.length);
    assert.match(
      await panel.locator('p[role="status"]').innerText(),
      /one token before one layer carries most: layer \d/,
    );
    await panel.getByRole('radio', { name: 'edges of L1 H1' }).click();
    await panel.getByRole('button', { name: 'Patch the edges that change most' }).click();
    const { edges } = await views.engine.request('analysis/patchEdges', { ...given, ...head });
    for (const { query, key, restored } of edges) {
      const cell = panel.locator(`[data-edge="${query}>${key}"]`);
      await cell.waitFor();
      assert.equal((await cell.innerText()).trim(), share(restored!));
    }
    assert.deepEqual(asked('analysis/patchEdges').at(-1), { ...given, ...head });
    await panel.getByRole('button', { name: 'as CSV' }).click();
    assert.match((await savedCsv())[0]!, /query,key,moved/);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('roles say whether they are of the text or of the probe, which runs when it is asked for', async () => {
    let release = () => {};
    const held = new Promise<void>(resolve => (release = resolve));
    const { page } = await views.open({
      view: { view: 'overview', options: {} },
      beforeAnswer: method => (method === 'heads/probe' ? held : undefined),
    });
    const where = page.locator('ai-overview [data-roles-where]');
    await where.filter({ hasText: 'on this text' }).waitFor();
    await page.getByRole('radio', { name: 'on the probe' }).click();
    await page.getByText('The probe runs once for every head.').waitFor();
    assert.equal(asked('heads/probe').length, 1);
    release();
    await where.filter({ hasText: 'on the probe' }).waitFor();
    const cell = page.locator('ai-overview [data-head="1.1"]').first();
    await until(async () => /duplicate token 91/.test((await cell.getAttribute('title')) ?? ''));
    await page.getByRole('radio', { name: 'table' }).click();
    await page.locator('ai-head-table tbody td', { hasText: 'duplicate token' }).first().waitFor();
    await page.getByRole('radio', { name: 'on this text' }).click();
    await page.getByRole('radio', { name: 'maps' }).click();
    await where.filter({ hasText: 'on this text' }).waitFor();
    await page.getByRole('radio', { name: 'on the probe' }).click();
    await where.filter({ hasText: 'on the probe' }).waitFor();
    assert.equal(asked('heads/probe').length, 1, 'it does not run twice');
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('patching says why it cannot be: of texts of other lengths', async () => {
    const { page } = await views.open({
      view: { view: 'pair', options: { pair: { kind: 'text' } } },
      analysis: ready(withLoss(structuredClone(views.summary))),
      others: [editedAnalysis(views.text, { layers: 2, heads: 3, tokens: 140 })],
    });
    await page.getByText('these have 150 and 140 tokens').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Patch every head' }).count(), 0);
  });

  it('offers nothing that needs a dense pass of a text that had none', async () => {
    const summary = withLoss(structuredClone(views.summary));
    const sparse = {
      setting: setting('local'),
      queries: 10,
      missed: null,
      links: [],
      pairs: 1,
      densePairs: 2,
    };
    const open = (view: 'head' | 'text' | 'overview', options: ViewState['options']) =>
      views.open({
        view: { view, options },
        analysis: ready({ ...summary, sparse }),
        selection: { ...head, token: 60 },
      });
    const { page } = await open('head', { head: { mode: 'words', of: 'model', weigh: 'values' } });
    await page.locator('ai-head-words li').first().waitFor();
    for (const name of ['attention × value', 'the whole model'])
      assert.equal(await page.getByRole('radio', { name }).count(), 0, name);
    assert.equal(asked<{ byValue?: boolean }>('analysis/token').at(-1)!.byValue, undefined);
    const text = await open('text', { text: { show: 'loss', attribution: true } });
    await text.page.locator('ai-text .swatch').first().waitFor();
    assert.equal(await text.page.getByRole('radio', { name: 'rollout from pinned' }).count(), 0);
    assert.equal(await text.page.getByText('Heads that write the next token').count(), 0);
    assert.deepEqual([...asked('analysis/lossGroups'), ...asked('analysis/tokenAttribution')], []);
    const overview = await open('overview', {});
    await overview.page.locator('[data-head="1.1"]').first().waitFor();
    assert.equal(await overview.page.getByRole('button', { name: 'Who writes?' }).count(), 0);
  });
});
