/** Compares the sketches of profiles with exact quantiles: `npx tsx scripts/sketches.ts [values]`, by default ten million. */
import { RELATIVE_ERROR } from '../engine/corpus/distribution';
import { agreement } from './lib/sketchAgreement';

const count = Number(process.argv[2] ?? 10_000_000);
for (const { name, worst } of agreement(count)) {
  console.log(
    `${name}: ${count.toLocaleString('en')} values, worst of 999 quantiles at ${worst.toFixed(4)} of the stated error (${RELATIVE_ERROR})`,
  );
}
