import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';

/** VS Code calls this inside the extension host; test/vscode/run.mjs built the suites beside it. */
export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'bdd', timeout: 60_000, color: false });
  const suites = join(__dirname, 'suite');
  for (const file of readdirSync(suites)) if (file.endsWith('.test.js')) mocha.addFile(join(suites, file));

  await new Promise<void>((resolve, reject) => {
    const runner = mocha.run(failures => {
      const { passes, pending } = runner.stats!;
      const file = process.env.TEST_TOTALS;
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
      if (failures) reject(new Error(`${failures} tests failed`));
      else resolve();
    });
  });
}
