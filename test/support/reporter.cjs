/**
 * Mocha's spec reporter, which also leaves its totals in the file named by TEST_TOTALS for scripts/test.mjs, and says why a test
 * was tried again.
 */
const { writeFileSync } = require('node:fs');
const { consoleLog } = require('mocha/lib/reporters/base');
const Spec = require('mocha/lib/reporters/spec');

module.exports = class extends Spec {
  constructor(runner, options) {
    super(runner, options);
    let retried = 0;
    runner.on('retry', (test, error) => {
      retried++;
      consoleLog(`    again: ${test.title}: ${error.message}`);
    });
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const totals = { passed: passes, failed: failures, skipped: pending, retried };
      const file = process.env.TEST_TOTALS;
      if (file) writeFileSync(file, JSON.stringify(totals));
    });
  }
};
