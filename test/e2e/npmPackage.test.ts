import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { assetName, ZOO } from '../../engine/model/source/zoo';
import { packedZoo } from '../../scripts/lib/packedModels.mjs';
import { npm, ROOT, run } from '../../scripts/lib/project.mjs';

/** The command line as npm has it, with the native files of this platform only. */
describe('the npm package', function () {
  this.timeout(240_000);
  let folder: string;
  let tarball: string;
  /** Of its own user: a fresh home, no settings; only npm's cache is shared, so that no network is needed. */
  let env: NodeJS.ProcessEnv;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'attention-inspector-npm-test-'));
    const platform = `${process.platform}-${process.arch}`;
    await run(process.execPath, ['scripts/npmPackage.mjs', '--out', folder, '--platforms', platform], {
      quiet: true,
      env: { GITHUB_SERVER_URL: 'https://github.com', GITHUB_REPOSITORY: 'somebody/inspector' },
    });
    tarball = join(
      folder,
      readdirSync(folder).find(name => name.endsWith('.tgz'))!,
    );
    const [program, args] = npm(['config', 'get', 'cache']);
    const cache = execFileSync(program, args, { encoding: 'utf8', cwd: folder }).trim();
    const { PATH, SystemRoot } = process.env;
    env = {
      PATH,
      SystemRoot,
      HOME: join(folder, 'home'),
      npm_config_cache: cache,
      npm_config_prefer_offline: 'true',
    };
    mkdirSync(join(folder, 'home'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const npx = (...args: string[]) => {
    const [program, all] = npm(['exec', '--yes', '--package', tarball, '--', 'attention-inspector', ...args]);
    return execFileSync(program, all, { encoding: 'utf8', cwd: folder, env });
  };
  const inTarball = (file: string) =>
    execFileSync('tar', ['-xzOf', tarball, `package/${file}`], { encoding: 'utf8', maxBuffer: 2 ** 26 });

  it('holds the command line, its model, its views and ONNX Runtime, and nothing else', () => {
    const names = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
    const expected =
      /^package\/(package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/(cli\.js|program\.js|webview\.js|webview\.css|THIRD_PARTY_NOTICES\.txt)|engine\/bundled\/([\w-]+\/)+[\w.]+\.(onnx|onnx\.data|json|md)|node_modules\/onnxruntime-node\/(package\.json|dist\/\w+\.js|bin\/napi-v6\/\w+\/\w+\/[\w.]+))$/;
    assert.deepEqual(
      names.filter(name => !expected.test(name)),
      [],
    );
    for (const name of [
      'dist/cli.js',
      'dist/program.js',
      'dist/webview.js',
      'engine/bundled/prose-2m/onnx/model.onnx',
      'LICENSE',
    ])
      assert.ok(names.includes(`package/${name}`), name);
    const { bin, description, files, dependencies, scripts, repository } = JSON.parse(
      inTarball('package.json'),
    ) as Record<string, unknown>;
    assert.deepEqual(bin, { 'attention-inspector': 'dist/cli.js' });
    assert.match(description as string, /^[A-Z][^%]+$/);
    assert.deepEqual(files, ['dist', 'engine', 'CHANGELOG.md']);
    assert.deepEqual(Object.keys(dependencies as object).sort(), [
      'onnxruntime-common',
      'onnxruntime-node',
      'tokenizers',
    ]);
    assert.equal(scripts, undefined);
    assert.deepEqual(repository, { type: 'git', url: 'git+https://github.com/somebody/inspector.git' });
    const ort = JSON.parse(inTarball('node_modules/onnxruntime-node/package.json')) as Record<
      string,
      unknown
    >;
    assert.equal(ort.scripts, undefined, 'nothing is downloaded as it is installed');
    assert.match(inTarball('dist/cli.js'), /^#!\/usr\/bin\/env node\n/);
  });

  it('runs from the tarball, in a folder and a home of its own', () => {
    assert.match(npx('--version'), /^\d+\.\d+\.\d+\n$/);
    writeFileSync(join(folder, 'text.txt'), 'The cat sat on the mat. The cat sat on the mat again.\n');
    const table = npx('analyze', 'text.txt', '--device', 'cpu', '--html', 'report.html');
    assert.match(table, /^verified {2}(?!NO)/m);
    assert.ok(readdirSync(folder).includes('report.html'));
  });

  it('has the models of papers that it has no room for from the release', async () => {
    const packed = packedZoo();
    const model = ZOO.find(({ name }) => !packed.includes(name.slice('zoo/'.length)));
    if (!model) return; // all have room
    const assets = new Map(model.files.map(({ path }) => [assetName(model.name, path), path]));
    const release = createServer((request, response) => {
      const path = assets.get(request.url!.slice('/v1/'.length));
      if (path === undefined) response.writeHead(404).end();
      else createReadStream(join(ROOT, 'engine/bundled', model.name, path)).pipe(response);
    });
    await new Promise<void>(resolve => release.listen(0, '127.0.0.1', resolve));
    env.ATTENTION_INSPECTOR_RELEASE = `http://127.0.0.1:${(release.address() as AddressInfo).port}/v1`;
    try {
      const list = 'attention-inspector models list';
      const script = `${list} && attention-inspector models verify ${model.name} && ${list}`;
      const [program, all] = npm(['exec', '--yes', '--package', tarball, '-c', script]);
      const { stdout } = await promisify(execFile)(program, all, { cwd: folder, env });
      const listed = `^${model.name} +papers +`;
      const steps = `${listed}download, \\d\\.\\d MB$[^]*^verified[^]*${listed}\\d\\.\\d MB, `;
      assert.match(stdout, new RegExp(steps, 'm'));
    } finally {
      release.close();
    }
  });
});
