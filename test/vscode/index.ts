import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'node:util';
import Mocha from 'mocha';
import * as vscode from 'vscode';

/** VS Code calls this inside the extension host; test/vscode/run.mjs built the suites beside it. */
export async function run(): Promise<void> {
  // The workbench says a lot on the same console; test/vscode/run.mjs shows only what is marked.
  Mocha.reporters.Base.consoleLog = (...values: unknown[]) => console.log(`[mocha]${format(...values)}`);
  const { TEST_GREP: grep } = process.env;
  // The windows of a loaded machine are late at times: a test is tried twice, and the report says so.
  const mocha = new Mocha({
    ui: 'bdd',
    timeout: 60_000,
    retries: 1,
    color: false,
    ...(grep ? { grep } : {}),
  });
  const suites = join(__dirname, vscode.workspace.isTrusted ? 'suite' : 'untrusted');
  for (const file of readdirSync(suites)) if (file.endsWith('.test.js')) mocha.addFile(join(suites, file));

  await new Promise<void>((resolve, reject) => {
    let retried = 0;
    const runner = mocha.run(failures => {
      const { passes, pending } = runner.stats!;
      addTotals({ passed: passes, failed: failures, skipped: pending, retried });
      if (failures) reject(new Error(`${failures} tests failed`));
      else resolve();
    });
    runner.on('retry', (test: Mocha.Test, error: Error) => {
      retried++;
      Mocha.reporters.Base.consoleLog(`    again: ${test.title}: ${error.message}`);
    });
  });
}

/** Of this window and those before it. */
function addTotals(own: Record<string, number>): void {
  const file = process.env.TEST_TOTALS;
  if (!file) return;
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>) : {};
  const all = Object.entries(own).map(([name, count]) => [name, count + (before[name] ?? 0)]);
  writeFileSync(file, JSON.stringify(Object.fromEntries(all)));
}
