/**
 * `npm start [-- FILE] [--no-open]`: installs, builds, analyses FILE (or the sample text) with the bundled model, prints
 * the table of its heads, and opens the extension on that file in a real VS Code: the desktop's `code` where it is on
 * the PATH, otherwise VS Code's server from npm on 127.0.0.1. `--no-open` stops after the table.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { editorOf } from './lib/editor.mjs';
import { installPackages, ROOT, run } from './lib/project.mjs';

const { values, positionals } = parseArgs({
  options: { 'no-open': { type: 'boolean', default: false } },
  allowPositionals: true,
});
const file = resolve(
  process.env.INIT_CWD ?? '.',
  positionals[0] ?? join(ROOT, 'test', 'fixtures', 'sample.txt'),
);
if (!existsSync(file)) {
  console.error(`There is no file ${file}.`);
  process.exit(2);
}

try {
  await installPackages(ROOT);
  await run(process.execPath, ['esbuild.mjs']);
  await run(process.execPath, ['dist/cli.js', 'analyze', file]);
  if (!values['no-open']) await open();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

async function open() {
  const { desktop, advice } = editorOf();
  if (desktop) {
    console.log(`\nOpening ${basename(file)} in VS Code. Press F1 and choose "Attention: Analyze Text".`);
    // On Windows `code` is a batch file; this library quotes what its shell would take apart.
    const { default: spawn } = await import('cross-spawn');
    await run(desktop, ['--new-window', `--extensionDevelopmentPath=${ROOT}`, file], { spawn });
    return;
  }
  if (advice) {
    console.log(`\n${advice}`);
    return;
  }

  const { installVsix, makeProfile, serve, setUpServer, workbenchUrl } =
    await import('./lib/vscodeServer.mjs');
  await setUpServer();
  const home = join(ROOT, '.vscode-under-test');
  const vsix = join(home, 'start.vsix');
  await run(process.execPath, ['scripts/package.mjs', '--out', vsix]);
  const profile = makeProfile(join(home, 'start-profile'));
  await installVsix(profile, vsix);
  const server = await serve(profile);
  console.log(
    `\nVS Code with the extension, on ${basename(file)}:\n\n  ${workbenchUrl(server.origin, dirname(file), { file })}\n`,
  );
  console.log('Press F1 there and choose "Attention: Analyze Text". Ctrl+C here ends the server.');
  process.on('SIGINT', () => void server.stop());
  process.on('SIGTERM', () => void server.stop());
  await server.ended;
}
