import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import schema from '../../engine/export/analysis.schema.json';
import type { AnalysisJson } from '../../engine/export/json';
import { schemas } from '../support/provenance';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';

describe('command line: diff', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'diff-'));
    cli = await buildCli();
  });
  after(() => rm(folder, { recursive: true }));
  const run = (...args: string[]): Promise<CliRun> => runCli(cli, args, { cwd: folder });

  it('tells what two settings change, and fails a build that loses too much', async () => {
    await writeFile(join(folder, 'text.txt'), 'The cat sat on the mat. The dog sat on the log.\n'.repeat(3));
    for (const window of [12, 2]) {
      const made = await run(
        ...['analyze', 'text.txt', '--device', 'cpu', '--propagate', '--json', `${window}.json`],
        ...['--mechanisms', `local:window=${window}`],
      );
      assert.equal(made.code, 0, made.stderr);
    }
    const read = async (file: string) =>
      JSON.parse(await readFile(join(folder, file), 'utf8')) as AnalysisJson;
    const [a, b] = [await read('12.json'), await read('2.json')];
    const ajv = schemas();
    assert.ok(ajv.validate(schema, a), ajv.errorsText());
    assert.equal(a.loss!.tokens.length, a.tokens - 1);
    const grown = b.mechanisms[0]!.deltaLoss! - a.mechanisms[0]!.deltaLoss!;
    assert.ok(grown > 0.05, `${grown}`);

    const fine = await run(
      'diff',
      '12.json',
      '2.json',
      '--fail-over',
      String(grown + 0.01),
      '--json',
      'd.json',
    );
    assert.equal(fine.code, 0, fine.stderr);
    assert.match(fine.stdout, /local:window=12 -> local:window=2 /);
    const found = (await read('d.json')) as unknown as {
      same: object;
      failOver: object;
      mechanisms: { loss: { delta: number; paired: boolean; interval: { low: number; high: number } } }[];
    };
    assert.deepEqual(found.same, { model: true, text: true, tokens: true });
    assert.deepEqual(found.failOver, { nats: grown + 0.01, exceeded: false });
    const { loss } = found.mechanisms[0]!;
    assert.ok(loss.paired && Math.abs(loss.delta - grown) < 1e-6);
    assert.ok(loss.interval.low < grown && grown < loss.interval.high);

    const failed = await run('diff', '12.json', '2.json', '--fail-over', '0.01');
    assert.equal(failed.code, 1);
    assert.match(
      failed.stderr,
      /^The model with local:window=2 loses \d\.\d{4} nats [^\n]*0\.01 are allowed\.\n$/,
    );
    assert.equal((await run('diff', '2.json', '12.json', '--fail-over', '0')).code, 0, 'it got better');
    assert.deepEqual((await run('diff', '12.json', 'text.txt')).code, 3);
    assert.deepEqual((await run('diff', '12.json', '2.json', '--fail-over', '-1')).code, 2);
  });
});
