/** Where the project is, how its commands are run, and whether its packages are installed. Plain JavaScript: runs before `npm ci`. */
import { spawn as spawnDirectly } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Runs a program to its end; rejects when it fails or takes longer than `minutes`. Its output is shown. */
export async function run(command, args, options = {}) {
  const { code, timedOut } = await runToEnd(command, args, options);
  if (timedOut) throw new Error(`${command} ${args[0] ?? ''} took longer than ${options.minutes} minutes`);
  if (code !== 0) throw new Error(`${[command, ...args].join(' ')} failed (exit code ${code})`);
}

/** As `run`, but a failure is only reported: `{ code, timedOut }`. With `quiet`, the output is shown when it fails. */
export function runToEnd(
  command,
  args,
  { cwd = ROOT, env = {}, minutes = 15, quiet = false, spawn = spawnDirectly } = {},
) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      // npm tells at every start that it does not know the line of .npmrc that ONNX Runtime's installer reads.
      env: { ...process.env, npm_config_loglevel: 'error', ...env },
      stdio: ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'],
      // A group of its own, so that a run that hangs is ended with everything it started.
      detached: process.platform !== 'win32',
    });
    let timedOut = false;
    const output = [];
    child.stdout?.on('data', chunk => output.push(chunk));
    child.stderr?.on('data', chunk => output.push(chunk));
    const end = () => endGroup(child);
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, minutes * 60_000);
    const interrupt = () => {
      end();
      process.exit(130);
    };
    process.once('SIGINT', interrupt);
    child.on('error', reject);
    child.on('close', code => {
      if (code !== 0) process.stderr.write(Buffer.concat(output));
      clearTimeout(timer);
      process.off('SIGINT', interrupt);
      resolve({ code: code ?? 1, timedOut });
    });
  });
}

export function endGroup(child, signal = 'SIGTERM') {
  try {
    if (process.platform === 'win32') child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}

/**
 * How npm is run: its own JavaScript file by this Node. Windows has npm as a batch file, which only a shell runs, and a shell
 * does not quote arguments ("Program Files").
 * @returns {[string, string[]]} program and arguments
 */
export function npm(args, { execPath = process.execPath, env = process.env } = {}) {
  const folder = dirname(execPath);
  const files = [
    env.npm_execpath,
    join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(folder, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
  ];
  const file = files.find(each => each && /npm-cli\.c?js$/.test(each) && existsSync(each));
  if (file) return [execPath, [file, ...args]];
  if (process.platform !== 'win32') return ['npm', args];
  throw new Error(`npm was not found beside ${execPath}; start this with "npm run".`);
}

/** How a program of an installed package is run: its JavaScript file by this Node. @returns {[string, string[]]} */
export function programOf(name, program, args) {
  const manifest = createRequire(join(ROOT, 'package.json')).resolve(`${name}/package.json`);
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'));
  const file = typeof bin === 'string' ? bin : bin[program];
  return [process.execPath, [join(dirname(manifest), file), ...args]];
}

/** The first of `names` on the PATH, as a full path, or null. @param {string[]} names */
export function onPath(names, { platform = process.platform, path = process.env.PATH ?? '' } = {}) {
  const isWindows = platform === 'win32';
  for (const name of names)
    for (const folder of path.split(isWindows ? ';' : ':'))
      for (const ending of isWindows ? ['.cmd', '.exe'] : [''])
        if (folder && existsSync(join(folder, name + ending))) return join(folder, name + ending);
  return null;
}

/** `npm ci` in `folder`, unless what is installed there is already what its lock file asks for. */
export async function installPackages(folder, args = []) {
  if (isInstalled(folder)) return;
  console.log(`Installing the packages of ${folder}`);
  await run(...npm(['ci', '--no-audit', '--no-fund', '--loglevel=error', ...args]), { cwd: folder });
}

/** npm writes what it installed to node_modules/.package-lock.json, in the format of the lock file. */
function isInstalled(folder) {
  const installedFile = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(folder, lockName(folder)), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.devOptional || installed[path]?.version === entry.version,
  );
}

const lockName = folder =>
  existsSync(join(folder, 'npm-shrinkwrap.json')) ? 'npm-shrinkwrap.json' : 'package-lock.json';
