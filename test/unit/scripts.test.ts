import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noticeOf } from '../../scripts/lib/notices.mjs';
import { npm, programOf, run } from '../../scripts/lib/project.mjs';

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

  it('a package without the text of its licence fails the build', () => {
    mkdirSync(join(folder, 'p'));
    writeFileSync(join(folder, 'p', 'package.json'), '{"name":"p","version":"1.0.0","license":"MIT"}');
    assert.throws(() => noticeOf(folder, 'p'), /p ships without the text of its licence \(MIT\)/);
    writeFileSync(join(folder, 'p', 'LICENSE'), 'the text');
    assert.deepEqual(noticeOf(folder, 'p'), { title: 'p 1.0.0 (MIT)', text: 'the text' });
  });
});
