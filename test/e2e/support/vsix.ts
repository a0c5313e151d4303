import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from '../../../scripts/lib/project.mjs';

const VSIX = join(ROOT, 'test-artifacts', 'attention-inspector.vsix');
let packing: Promise<string> | null = null;

/** The vsix that the tests install, made once per run from the working tree. */
export function packedVsix(): Promise<string> {
  // ATTENTION_INSPECTOR_VSIX: a ready vsix, to try the tests on one that was made elsewhere.
  const given = process.env.ATTENTION_INSPECTOR_VSIX;
  if (given && existsSync(given)) return Promise.resolve(given);
  packing ??= run(process.execPath, ['scripts/package.mjs', '--target', 'linux-x64', '--out', VSIX], {
    quiet: true,
  }).then(() => VSIX);
  return packing;
}
