import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noticeOf } from '../../scripts/lib/notices.mjs';
import { editorOf } from '../../scripts/lib/editor.mjs';
import { Engine } from '../../engine/engine';
import { hashOfModel, KeptLines } from '../../scripts/lib/keptLines';
import { npm, programOf, ROOT, run } from '../../scripts/lib/project.mjs';

describe('scripts', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'attention inspector scripts '))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('npm runs without a shell from a folder with spaces, its arguments as they are', async () => {
    const bin = join(folder, 'Program Files', 'nodejs');
    const cli = join(bin, 'node_modules', 'npm', 'bin', 'npm-cli.js');
    mkdirSync(join(cli, '..'), { recursive: true });
    const seen = join(folder, 'seen.json');
    writeFileSync(
      cli,
      `require('fs').writeFileSync(${JSON.stringify(seen)}, JSON.stringify(process.argv.slice(2)))`,
    );
    const [program, args] = npm(['run', 'a "b" & c'], { execPath: join(bin, 'node.exe'), env: {} });
    assert.equal(program, join(bin, 'node.exe'));
    await run(process.execPath, args);
    assert.deepEqual(JSON.parse(readFileSync(seen, 'utf8')), ['run', 'a "b" & c']);
  });

  it('the npm that started the script is the one that is used', () => {
    const cli = join(folder, 'npm-cli.js');
    writeFileSync(cli, '');
    assert.deepEqual(npm(['ci'], { env: { npm_execpath: cli } }), [process.execPath, [cli, 'ci']]);
  });

  it('a program of a package is run by its JavaScript file', () => {
    const [program, [file]] = programOf('@vscode/vsce', 'vsce', ['ls']);
    assert.equal(program, process.execPath);
    assert.match(readFileSync(file!, 'utf8'), /^#!\/usr\/bin\/env node/);
  });

  describe('what npm start opens', () => {
    const machines = [
      ['linux', 'x64', 'code', ':'],
      ['darwin', 'arm64', 'code', ':'],
      ['win32', 'x64', 'code.cmd', ';'],
    ] as const;
    for (const [platform, arch, program, delimiter] of machines)
      it(`${platform} ${arch}: the desktop's VS Code where its command is on the PATH`, () => {
        const bin = join(folder, 'Microsoft VS Code', 'bin');
        mkdirSync(bin, { recursive: true });
        writeFileSync(join(bin, program), '');
        const path = [join(folder, 'elsewhere'), '', bin].join(delimiter);
        assert.deepEqual(editorOf({ platform, arch, path }), { desktop: join(bin, program) });
      });

    for (const [platform, arch] of [
      ['darwin', 'arm64'],
      ['win32', 'x64'],
      ['linux', 'arm64'],
    ] as const)
      it(`${platform} ${arch}: says what to do where it is not`, () => {
        const { advice } = editorOf({ platform, arch, path: folder }) as { advice: string };
        assert.match(advice, /`code` is not on the PATH.*Install 'code' command in PATH.*npm run package/);
      });

    it('linux x64: the server of the tests where it is not', () => {
      assert.deepEqual(editorOf({ platform: 'linux', arch: 'x64', path: folder }), { server: true });
    });
  });

  describe('the workflows', () => {
    const workflow = (name: string) => readFileSync(join(ROOT, '.github', 'workflows', name), 'utf8');

    it('run everything on Linux, and the tests of units and engine on Windows and macOS and on newer Nodes', () => {
      const ci = workflow('ci.yml');
      const [everything, platforms] = ci.split(/^ {2}platforms:$/m) as [string, string];
      assert.match(everything, /runs-on: ubuntu-latest[^]*- run: npm test$/m);
      assert.match(platforms, /os: \[windows-latest, macos-latest\]/);
      assert.match(platforms, /runs-on: \$\{\{ matrix\.os \}\}/);
      for (const node of [22, 24]) assert.match(platforms, new RegExp(`os: ubuntu-latest, node: ${node} `));
      const [, steps] = /- run: npm test -- (.*)/.exec(platforms)!;
      for (const step of ['build', 'unit', 'engine']) assert.ok(steps!.split(' ').includes(step), step);
      // The steps are those of npm test.
      const known = readFileSync(join(ROOT, 'scripts', 'test.mjs'), 'utf8');
      for (const step of steps!.split(' ')) assert.match(known, new RegExp(`^  ${step}: \\{`, 'm'));
    });

    it('pack every platform, for each change and for a release', () => {
      assert.match(workflow('package.yml'), /node scripts\/package\.mjs --all/);
      for (const name of ['ci.yml', 'release.yml'])
        assert.match(workflow(name), /uses: \.\/\.github\/workflows\/package\.yml/);
    });

    it('a release publishes the extension and the command line, this with provenance, both as the same kind', () => {
      assert.match(workflow('package.yml'), /- run: node scripts\/npmPackage\.mjs --out packages$/m);
      const [, publish] = workflow('release.yml').split(/^ {2}publish:$/m) as [string, string];
      assert.match(publish, /^ {4}needs: package$/m);
      assert.match(publish, /^ {4}permissions:\n(?: {6}.*\n)*? {6}id-token: write$/m);
      assert.match(publish, /registry-url: 'https:\/\/registry\.npmjs\.org'/);
      const [, tarball, options] = /- run: npm publish (\S+) (.*)\n {8}env: \{ NODE_AUTH_TOKEN: /.exec(
        publish,
      )!;
      // Without the dot npm would take it for a repository of somebody named packages.
      assert.equal(tarball, './packages/*.tgz');
      assert.match(
        options!,
        /^--provenance --access public --tag \$\{\{ steps\.kind\.outputs\.flag && 'next' \|\| 'latest' \}\}$/,
      );
      for (const store of ['vsce', 'ovsx'])
        assert.match(
          publish,
          new RegExp(
            `npx ${store} publish \\$\\{\\{ steps\\.kind\\.outputs\\.flag \\}\\} --packagePath packages/\\*\\.vsix`,
          ),
        );
      // What is published is what was packed, of the version that the tag names.
      assert.ok(publish.indexOf('The tag is the version') < publish.indexOf('npm publish'));
    });
  });

  it('a package without the text of its licence fails the build', () => {
    mkdirSync(join(folder, 'p'));
    writeFileSync(join(folder, 'p', 'package.json'), '{"name":"p","version":"1.0.0","license":"MIT"}');
    assert.throws(() => noticeOf(folder, 'p'), /p ships without the text of its licence \(MIT\)/);
    writeFileSync(join(folder, 'p', 'LICENSE'), 'the text');
    assert.deepEqual(noticeOf(folder, 'p'), { title: 'p 1.0.0 (MIT)', text: 'the text' });
  });
});

describe('results that are kept as they are found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kept-'));
  after(() => rmSync(folder, { recursive: true }));

  it('are not made again, but for one whose line was cut off; lines of something else are refused', async () => {
    const path = join(folder, 'lines.jsonl');
    const made: string[] = [];
    const get = (kept: KeptLines, key: string) =>
      kept.get(key, () => {
        made.push(key);
        return Promise.resolve({ key, values: [1, 2.5] });
      });
    const first = new KeptLines(path, { tokens: 8 });
    for (const key of ['a', 'b', 'a']) assert.equal((await get(first, key)).key, key);
    assert.deepEqual(made, ['a', 'b']);
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, -4));
    const again = new KeptLines(path, { tokens: 8 });
    for (const key of ['a', 'b']) assert.deepEqual(await get(again, key), { key, values: [1, 2.5] });
    assert.deepEqual(made, ['a', 'b', 'b']);
    for (const key of ['a', 'b']) await get(new KeptLines(path, { tokens: 8 }), key);
    assert.deepEqual(made, ['a', 'b', 'b'], 'what came behind a line that was cut off is read');
    assert.throws(() => new KeptLines(path, { tokens: 9 }), /is of something else/);
    const empty = join(folder, 'empty.jsonl');
    writeFileSync(empty, '');
    await get(new KeptLines(empty, { tokens: 8 }), 'c');
    await get(new KeptLines(empty, { tokens: 8 }), 'c');
    assert.deepEqual(made, ['a', 'b', 'b', 'c']);
  });

  it('are those of the files of a model, whatever it is called', async () => {
    const engine = new Engine();
    const model = join(__dirname, '../../engine/bundled/prose-2m');
    const copy = join(folder, 'model');
    cpSync(model, copy, { recursive: true });
    const before = await hashOfModel(engine, copy);
    writeFileSync(join(copy, 'config.json'), `${readFileSync(join(copy, 'config.json'), 'utf8')}\n`);
    assert.notEqual(await hashOfModel(engine, copy), before);
    await engine.dispose();
  }).timeout(60_000);
});
