/**
 * `npm test`: sets everything up, runs every check and every test, and ends with one line `N passed, N failed`.
 * `npm test -- unit engine` runs only the named steps.
 *
 * A step that is not a test suite (type-check, lint, ...) counts as one test. A suite that dies, hangs
 * or says nothing about its tests counts as one failed test.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { installPackages, npm, ROOT, runToEnd } from './lib/project.mjs';

const ARTIFACTS = join(ROOT, 'test-artifacts');
const TOTALS = join(ARTIFACTS, 'totals.json');

const script = name => {
  const [command, args] = npm(['run', '--silent', name]);
  return { command, args };
};

/**
 * Mocha on TypeScript; `jobs` processes a suite, bounded in time and in JavaScript memory; a test that fails is tried again
 * `retries` times.
 */
const mocha = (folder, timeout, { jobs = 1, retries = 0 } = {}) => ({
  command: process.execPath,
  args: [
    '--max-old-space-size=3072',
    join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js'),
    ...(jobs > 1 ? ['--parallel', '--jobs', String(jobs)] : []),
    ...['--reporter', 'test/support/reporter.cjs'],
    ...['--timeout', String(timeout), '--retries', String(retries)],
    `test/${folder}/**/*.test.ts`,
  ],
  suite: folder,
});

const steps = {
  typecheck: { ...script('typecheck'), minutes: 5, beside: true },
  lint: { ...script('lint'), minutes: 5, beside: true },
  format: { ...script('format:check'), minutes: 3, beside: true },
  build: { command: process.execPath, args: ['esbuild.mjs', '--production'], minutes: 3 },
  unit: { ...mocha('unit', 20_000, { jobs: 2 }), minutes: 5 },
  engine: { ...mocha('engine', 240_000, { jobs: 2 }), minutes: 15 },
  vscode: { command: process.execPath, args: ['test/vscode/run.mjs'], minutes: 9, suite: 'vscode/suite' },
  // The windows of a loaded machine are late at times: a test is tried twice, and the report says so.
  e2e: { ...mocha('e2e', 180_000, { retries: 1 }), minutes: 20 },
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter(name => !(name in steps));
if (unknown.length) {
  console.error(`No such step: ${unknown.join(', ')}. The steps are ${Object.keys(steps).join(', ')}.`);
  process.exit(2);
}

await installPackages(ROOT);
mkdirSync(ARTIFACTS, { recursive: true });

const total = { passed: 0, failed: 0, skipped: 0, retried: 0 };
const failedSteps = [];
const wanted = Object.entries(steps).filter(([name]) => !chosen.length || chosen.includes(name));
// Checks that only read run side by side; suites, which use the whole machine, one after the other.
const beside = wanted.filter(([, step]) => step.beside);
const results = await Promise.all(beside.map(([name, step]) => runStep(name, step)));
for (const [name, step] of wanted.filter(([, step]) => !step.beside)) results.push(await runStep(name, step));
for (const { name, result } of results) {
  for (const key of Object.keys(total)) total[key] += result[key] ?? 0;
  if (result.failed) failedSteps.push(name);
}

if (failedSteps.length) console.log(`\nFailed: ${failedSteps.join(', ')}`);
const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
if (total.retried) console.log(`\nTried a second time: ${total.retried} (look for "again:" above)`);
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed ? 1 : 0);

async function runStep(name, step) {
  if (!step.beside) console.log(`\n=== ${name} ===`);
  if (step.suite && !hasTests(step.suite)) throw new Error(`test/${step.suite} has no tests`);
  if (step.suite) rmSync(TOTALS, { force: true });
  const started = Date.now();
  const { code, timedOut } = await runToEnd(step.command, step.args, {
    minutes: step.minutes,
    quiet: step.beside,
    env: { TEST_TOTALS: TOTALS, FORCE_COLOR: process.stdout.isTTY ? '1' : '0' },
  });
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  if (timedOut) console.log(`${name} was ended after ${step.minutes} minutes`);

  const passed = code === 0;
  let result = { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
  if (step.suite) {
    if (existsSync(TOTALS)) result = JSON.parse(readFileSync(TOTALS, 'utf8'));
    else result = { passed: 0, failed: 1, skipped: 0 };
    if (!passed && result.failed === 0) result.failed = 1;
    if (result.passed + result.failed + result.skipped === 0) result.failed = 1;
  }
  console.log(`${name}: ${result.failed ? 'FAILED' : 'ok'} in ${seconds} s`);
  return { name, result };
}

function hasTests(folder) {
  const path = join(ROOT, 'test', folder);
  return (
    existsSync(path) && readdirSync(path, { recursive: true }).some(file => /\.test\.ts$/.test(String(file)))
  );
}
