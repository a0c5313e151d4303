import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatWithout, parseWithout } from '../../engine/cli/interventions';
import schema from '../../engine/export/analysis.schema.json';
import type { AnalysisJson } from '../../engine/export/json';
import type { Intervention } from '../../shared/protocol/engine';
import { schemas } from '../support/provenance';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';
import { writeEncoderDecoder } from '../fixtures/encoderDecoder';
import { setting } from '../support/settings';

const all = { core: null, head: null };
const local = setting('local', { window: 8 });

describe('command line: --without', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'without-'));
    cli = await buildCli();
  });
  after(() => rm(folder, { recursive: true }));
  const run = (...args: string[]): Promise<CliRun> => runCli(cli, args, { cwd: folder });
  const readJson = async (name: string): Promise<AnalysisJson> => {
    const found = JSON.parse(await readFile(join(folder, name), 'utf8')) as AnalysisJson;
    const ajv = schemas();
    assert.ok(ajv.validate(schema, found), ajv.errorsText());
    return found;
  };

  const written: [string, Intervention][] = [
    ['head=3.2', { kind: 'head', core: 3, head: 2 }],
    ['span=120-160', { kind: 'span', ...all, from: 120, to: 161, queries: null }],
    ['span=7@2', { kind: 'span', core: 2, head: null, from: 7, to: 8, queries: null }],
    [
      'span=200-300>120-160@2.1',
      { kind: 'span', core: 2, head: 1, from: 120, to: 161, queries: { from: 200, to: 301 } },
    ],
    ['span=target:3-5', { kind: 'span', ...all, from: 3, to: 6, queries: null, side: 'target' }],
    ['edge=45>12', { kind: 'edge', ...all, query: 45, key: 12 }],
    ['edge=target:4>0@1.3', { kind: 'edge', core: 1, head: 3, query: 4, key: 0, side: 'target' }],
    ['mechanism=local:window=8', { kind: 'mechanism', ...all, choice: local }],
    ['mechanism=local:window=8@2.1', { kind: 'mechanism', core: 2, head: 1, choice: local }],
  ];
  for (const [text, one] of written) {
    it(`reads and writes ${text}`, () => {
      assert.deepEqual(parseWithout(text), one);
      assert.equal(formatWithout(one), text);
    });
  }

  it('refuses what it cannot read, in one sentence', async () => {
    for (const text of [
      '',
      'head',
      'head=3',
      'head=3.',
      'span=',
      'span=5-2',
      'span=1-2@',
      'edge=4',
      'edge=1-2>3',
    ])
      assert.throws(() => parseWithout(text), /^UsageError: --without ".*" is none of /, text);
    const { code, stderr } = await run('analyze', 'a', '--without', 'rib=1');
    assert.equal(code, 2);
    assert.match(stderr, /^--without "rib=1" is none of head=CORE\.HEAD, [^\n]*\.\n$/);
  });

  it('runs each alone and all at once, in text and JSON', async () => {
    await writeFile(join(folder, 'text.txt'), 'The cat sat on the mat. The dog sat on the log.\n'.repeat(3));
    const { code, stdout, stderr } = await run(
      ...['analyze', 'text.txt', '--device', 'cpu', '--json', 'a.json'],
      ...['--without', 'head=0.1', '--without', 'span=3-6', '--without', 'mechanism=local:window=4@1'],
    );
    assert.equal(code, 0, stderr);
    for (const line of [
      /^head=0\.1 +[+-]\d\.\d{4} +[+-]\d\.\d{4} to [+-]\d\.\d{4} +\S.* of 51 tokens +"/m,
      /^mechanism=local:window=4@1 +/m,
      /^all 3 at once +/m,
    ])
      assert.match(stdout, line);
    const { interventions, tokens } = await readJson('a.json');
    assert.deepEqual(
      interventions.map(one => one.interventions.length),
      [1, 1, 1, 3],
    );
    for (const { deltaLoss, deltaLossPerToken, deltaOutput } of interventions) {
      assert.equal(deltaOutput, null);
      assert.equal(deltaLossPerToken!.length, tokens - 1);
      const mean = deltaLossPerToken!.reduce((a, b) => a + b, 0) / (tokens - 1);
      assert.ok(Math.abs(deltaLoss! - mean) < 1e-6 && deltaLoss !== 0);
    }
    const beyond = await run('analyze', 'text.txt', '--device', 'cpu', '--without', 'head=77.0');
    assert.equal(beyond.code, 3);
    assert.equal(beyond.stderr, 'The model has no attention core 77.\n');
  });

  it('says when there was nothing to take away', async () => {
    await writeFile(join(folder, 'causal.txt'), 'The cat sat on the mat. The dog sat on the log.');
    const without = ['--without', 'edge=3>5', '--without', 'edge=5>3', '--without', 'span=1-2>4-6@1'];
    const { code, stdout, stderr } = await run('analyze', 'causal.txt', ...without);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^note: Token 3 does not see token 5 in the dense model either: nothing was taken away\.$/m,
    );
    assert.match(
      stdout,
      /^note: The named queries see none of the named tokens in the dense model either: /m,
    );
    assert.doesNotMatch(stdout, /Token 5 does not see/);
  });

  it('with --target: a span of the source text in the cross attention', async () => {
    await writeEncoderDecoder(join(folder, 'pair'));
    await writeFile(join(folder, 'source.txt'), 'the cat sat on the mat');
    await writeFile(join(folder, 'target.txt'), 'then it left');
    const { code, stderr } = await run(
      ...['analyze', 'source.txt', '--target', 'target.txt', '--model', 'pair', '--device', 'cpu'],
      ...['--without', 'span=2-3@2', '--without', 'span=target:1', '--json', 'pair.json'],
    );
    assert.equal(code, 0, stderr);
    const { target, interventions } = await readJson('pair.json');
    assert.deepEqual(target, { tokens: 5, source: 'given' });
    assert.deepEqual(
      interventions.map(one => one.deltaLossPerToken!.length),
      [4, 4, 4],
    );
    assert.ok(interventions.every(one => one.deltaLoss !== 0));
  });
});
