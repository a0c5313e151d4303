import assert from 'node:assert/strict';
import type { Frame } from 'playwright-core';
import { Workbench } from './support/workbench';

const SETTINGS = {
  'attentionInspector.device': 'cpu',
  'security.workspace.trust.startupPrompt': 'never',
  'security.workspace.trust.banner': 'never',
};

/** A folder of somebody else's, before and after it is trusted, and memories that are not our own. */
describe('a strange workspace in VS Code', function () {
  this.timeout(240_000);
  let workbench: Workbench;
  let panel: Frame;
  const errors: string[] = [];

  before(async function () {
    this.timeout(600_000);
    const text = 'The cat sat on the mat. The cat sat on the mat again.\n';
    workbench = await Workbench.open({ 'a.txt': text }, SETTINGS, { trusted: false });
    workbench.page.on('pageerror', error => errors.push(String(error)));
    await workbench.openFile('a.txt');
  });
  after(() => workbench?.close());

  const FINISHED = 'ai-overview [data-head]';
  /**
   * The panel of the window loaded anew. VS Code saves once a minute which editors are open, and may lose it where it is
   * loaded anew before: then the panel is opened again, for what it shows is the subject here.
   */
  const panelAgain = () =>
    workbench.view('panel', 20).catch(async () => {
      await workbench.command('Attention: Open Views');
      return workbench.view('panel');
    });
  const refused = async () => {
    panel = await panelAgain();
    await panel.getByText('only in a trusted workspace').waitFor();
    assert.deepEqual(workbench.engineProcesses(), []);
  };
  /** What is kept is written a moment after the last change. */
  const settled = () => workbench.page.waitForTimeout(1500);

  it('says in its views why there is nothing, and starts no engine', async () => {
    await workbench.command('Attention: Open Views');
    await refused();
    assert.equal(await panel.getByText('Analyze the text').count(), 0);
  });

  it('says so again in the panel that comes back with the window', async () => {
    await settled();
    await workbench.openFile('a.txt');
    await refused();
  });

  it('is trusted from there, and analyzed', async () => {
    await panel.locator('button, vscode-button', { hasText: 'Manage workspace trust' }).first().click();
    const editor = workbench.page.locator('.workspace-trust-editor');
    await editor.getByText('Trust', { exact: true }).first().click();
    await editor.getByText('You trust this folder').waitFor();
    // The list of what is trusted lies over the window.
    await workbench.page.locator('.monaco-modal-editor-block .codicon-close').first().click();
    panel = await workbench.view('panel');
    await panel.getByText('Analyze the text').first().waitFor();
    await workbench.openFile('a.txt');
    await workbench.command('Attention: Analyze Text');
    panel = await workbench.view('panel');
    await panel.locator(FINISHED).first().waitFor({ timeout: 60_000 });
  });

  it('comes back as it was left, whatever else is written in the place of what is kept', async () => {
    await panel.locator('[role="tab"]', { hasText: 'Spans' }).click();
    await panel.locator('ai-spans').waitFor();
    await settled();
    await workbench.openFile('a.txt');
    panel = await panelAgain();
    await panel.locator('ai-spans').waitFor();

    await settled();
    const deep = JSON.parse('['.repeat(900) + ']'.repeat(900)) as unknown;
    const prototypes = JSON.parse(
      '{"__proto__": {"camera": "x"}, "constructor": {"prototype": 1}}',
    ) as object;
    const kept = await workbench.forgeMemory({
      'view.panel': {
        version: 1,
        value: { view: 'spans', options: { spans: { ramp: 'x'.repeat(2e6) }, deep } },
      },
      'view.side': { version: 1, value: { view: 'head', options: prototypes } },
      'analysis.lastShown': { version: 7, value: ['file:///etc/passwd'] },
      recentModels: { '0': 'a', length: 1e9 },
    });
    assert.equal((kept['view.panel'] as { version: number }).version, 1);
    await workbench.openFile('a.txt');
    panel = await panelAgain();
    await panel.locator(FINISHED).first().waitFor({ timeout: 60_000 });
    assert.equal(await panel.locator('ai-spans').count(), 0, 'it begins anew');
    await panel.locator('[data-head="1.1"]').dispatchEvent('click');
    await panel.locator('[data-head="1.1"][aria-selected="true"]').waitFor();

    await settled();
    await workbench.forgeMemory({
      'view.panel': { view: 'head', options: { head: { camera: 'NaN,1e999' } } },
    });
    await workbench.openFile('a.txt');
    panel = await panelAgain();
    await panel.locator('[data-head="1.1"][aria-selected="true"]').waitFor({ timeout: 60_000 });
    assert.deepEqual(errors, []);
  });
});
