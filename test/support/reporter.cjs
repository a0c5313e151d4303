/** Mocha's spec reporter, which also leaves its totals in the file named by TEST_TOTALS for scripts/test.mjs. */
const { writeFileSync } = require('node:fs');
const Spec = require('mocha/lib/reporters/spec');

module.exports = class extends Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.TEST_TOTALS;
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
    });
  }
};
