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
  const mocha = new Mocha({ ui: 'bdd', timeout: 60_000, color: false, ...(grep ? { grep } : {}) });
  const suites = join(__dirname, vscode.workspace.isTrusted ? 'suite' : 'untrusted');
  for (const file of readdirSync(suites)) if (file.endsWith('.test.js')) mocha.addFile(join(suites, file));

  await new Promise<void>((resolve, reject) => {
    const runner = mocha.run(failures => {
      const { passes, pending } = runner.stats!;
      addTotals({ passed: passes, failed: failures, skipped: pending });
      if (failures) reject(new Error(`${failures} tests failed`));
      else resolve();
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
