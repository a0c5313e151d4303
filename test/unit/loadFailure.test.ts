import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadFailure } from '../../engine/runtime/loadFailure';
import { replaceFile } from '../../engine/runtime/replaceFile';
import { EngineClient, type Death } from '../../extension/engine/engineClient';
import { buildCli, buildEngine, childOfCli, runCli } from '../fixtures/cli';

const MODULES = join(__dirname, '../../node_modules');
const dlopen = (message: string) => Object.assign(new Error(message), { code: 'ERR_DLOPEN_FAILED' });

describe('a native library that does not load', function () {
  this.timeout(60_000);

  const cases: [string, Error, { platform: string; arch: string }, RegExp][] = [
    [
      'an old glibc',
      dlopen(
        "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by /x/onnxruntime_binding.node)",
      ),
      { platform: 'linux', arch: 'x64' },
      /C library is too old \(GLIBC_2\.28 is missing\); use a newer Linux/,
    ],
    [
      'Alpine',
      dlopen(
        'Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /x/a.node)',
      ),
      { platform: 'linux', arch: 'x64' },
      /Alpine.*glibc 2\.28/,
    ],
    [
      'no VC++ runtime',
      dlopen('The specified module could not be found.\r\n\\\\?\\C:\\x\\onnxruntime_binding.node'),
      { platform: 'win32', arch: 'x64' },
      /install the Visual C\+\+ Redistributable/,
    ],
    [
      'another architecture',
      dlopen('/x/onnxruntime_binding.node: wrong ELF class: ELFCLASS32'),
      { platform: 'linux', arch: 'arm64' },
      /another platform than linux arm64; install the package/,
    ],
    [
      'an Intel Mac',
      new Error("Cannot find module '../bin/napi-v6/darwin/x64/onnxruntime_binding.node'"),
      { platform: 'darwin', arch: 'x64' },
      /none for darwin x64; use Linux, Windows or a Mac with Apple silicon/,
    ],
    [
      'a package of another platform',
      new Error("Cannot find module 'tokenizers-linux-x64-gnu'\nRequire stack:\n- /x"),
      { platform: 'linux', arch: 'x64' },
      /missing; install again, the package of linux x64/,
    ],
  ];
  for (const [name, error, machine, expected] of cases)
    it(`is explained in a sentence with what to do: ${name}`, () => {
      const sentence = loadFailure(error, machine)!;
      assert.match(sentence, /^The native libraries cannot be loaded: [^\n]{1,250}\.$/);
      assert.match(sentence, expected);
    });

  it('is not blamed for other errors', () => {
    assert.equal(loadFailure(new TypeError('x is not a function')), null);
  });

  describe('in our programs', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'no-library-'));
      cpSync(await buildCli(), join(folder, 'cli.js'));
      cpSync(childOfCli(), join(folder, basename(childOfCli())));
      cpSync(await buildEngine(), join(folder, 'engine.js'));
      const fake = join(folder, 'node_modules/onnxruntime-node');
      mkdirSync(fake, { recursive: true });
      for (const real of ['tokenizers', 'onnxruntime-common'])
        symlinkSync(join(MODULES, real), join(folder, 'node_modules', real), 'junction');
      writeFileSync(
        join(fake, 'index.js'),
        `throw Object.assign(new Error("libc.so.6: version \`GLIBC_2.28' not found (required by binding.node)"), { code: 'ERR_DLOPEN_FAILED' });`,
      );
    });
    after(() => rm(folder, { recursive: true }));
    const expected = /^The native libraries cannot be loaded: .*GLIBC_2\.28.*\.\n?$/;

    it('ends the command line with the sentence', async () => {
      const { code, stdout, stderr } = await runCli(join(folder, 'cli.js'), ['models'], { cwd: folder });
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, expected);
    });

    it('is told once in the editor, and the engine not started again and again', async () => {
      const ignore = () => undefined;
      const client = new EngineClient({
        module: join(folder, 'engine.js'),
        initialize: () => ({ device: 'cpu', memoryLimitMiB: 512 }),
        log: { info: ignore, warn: ignore, error: ignore },
      });
      const deaths: Death[] = [];
      const died = new Promise<void>(resolve =>
        client.onDeath(death => {
          deaths.push(death);
          resolve();
        }),
      );
      await assert.rejects(client.start(), { message: expected });
      await died;
      assert.deepEqual(
        deaths.map(({ restarting }) => restarting),
        [false],
      );
      await assert.rejects(client.start(), { message: expected });
      client.dispose();
    });
  });
});

describe('a file that takes the name of another', () => {
  /** A scanner that holds the target for the first tries. */
  const held = (times: number, code: string) => {
    let tries = 0;
    const move = async () => {
      if (tries++ < times) throw Object.assign(new Error('held'), { code });
    };
    return { move, tries: () => tries };
  };
  const pauses = [1, 1, 1];

  it('is tried again on Windows while a scanner holds it', async () => {
    for (const code of ['EPERM', 'EACCES', 'EBUSY']) {
      const { move, tries } = held(3, code);
      await replaceFile('a', 'b', { platform: 'win32', move, pauses });
      assert.equal(tries(), 4);
    }
  });

  it('fails after some tries, and at once where trying again is of no use', async () => {
    for (const [times, code, platform, expected] of [
      [9, 'EPERM', 'win32', 4],
      [9, 'ENOSPC', 'win32', 1],
      [9, 'EACCES', 'linux', 1],
    ] as const) {
      const { move, tries } = held(times, code);
      await assert.rejects(replaceFile('a', 'b', { platform, move, pauses }), { code });
      assert.equal(tries(), expected);
    }
  });
});
