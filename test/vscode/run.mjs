/**
 * Runs test/vscode/suite/*.test.ts inside a real extension host, and those of test/vscode/untrusted/ in one whose workspace is
 * not trusted: VS Code's server opens the working tree as an extension under development, and its smoke-test driver hands
 * mocha's output and the exit code back through the page.
 */
import { appendFileSync, cpSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { format } from 'node:util';
import * as esbuild from 'esbuild';
import { chromium } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import { makeProfile, serve, setUpServer, workbenchUrl } from '../../scripts/lib/vscodeServer.mjs';

const OUT = join(ROOT, 'out-test', 'vscode');
const LOG = join(ROOT, 'test-artifacts', 'vscode.log');
const MINUTES = 8;

mkdirSync(dirname(LOG), { recursive: true });
rmSync(LOG, { force: true });
await setUpServer();
const executablePath = await findChromium();

rmSync(OUT, { recursive: true, force: true });
await esbuild.build({
  entryPoints: ['index.ts', 'suite/*.test.ts', 'untrusted/*.test.ts'].map(path =>
    join(ROOT, 'test', 'vscode', path),
  ),
  outdir: OUT,
  outbase: join(ROOT, 'test', 'vscode'),
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  sourcemap: 'inline',
  external: ['vscode', 'mocha'],
  logLevel: 'warning',
});

const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGUMENTS });
let failed = false;
try {
  for (const trusted of [true, false]) {
    if (!(await passes(trusted))) failed = true;
  }
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);

/** Runs the tests of one window. @param {boolean} trusted @returns {Promise<boolean>} */
async function passes(trusted) {
  const scratch = mkdtempSync(join(tmpdir(), 'attention-inspector-vscode-'));
  const workspace = join(scratch, 'workspace');
  mkdirSync(workspace);
  writeFileSync(join(workspace, 'sample.txt'), 'The cat sat on the mat. The cat sat on the mat again.\n');
  if (!trusted)
    cpSync(join(ROOT, 'test', 'vscode', 'untrusted', 'workspace'), workspace, { recursive: true });
  const server = await serve(makeProfile(join(scratch, 'profile')), {
    args: ['--vscode-option', 'enable-smoke-test-driver'],
    trusted,
  });
  const page = await browser.newPage();
  page.setDefaultNavigationTimeout(120_000); // a start under load
  try {
    await page.exposeFunction('codeAutomationLog', (_type, args) => {
      const line = format(...args);
      if (line.startsWith('[mocha]')) console.log(line.slice('[mocha]'.length));
      else appendFileSync(LOG, `${line}\n`);
    });
    const exit = new Promise(resolve => page.exposeFunction('codeAutomationExit', resolve));
    const late = new Promise(resolve => setTimeout(resolve, MINUTES * 60_000, 'late'));
    await page.goto(
      workbenchUrl(server.origin, workspace, {
        payload: [
          ['extensionDevelopmentPath', ROOT],
          ['extensionTestsPath', join(OUT, 'index.js')],
        ],
      }),
    );
    const outcome = await Promise.race([exit, late]);
    if (outcome === 'late')
      console.error(`The tests in the extension host did not end within ${MINUTES} minutes; see ${LOG}`);
    return Number(outcome) === 0;
  } finally {
    await page.close();
    await server.stop();
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}
