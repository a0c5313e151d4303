import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import schema from '../../engine/export/plan.schema.json';
import { resolveModel } from '../../engine/model/source/source';
import type { PlanFile } from '../../engine/export/planJson';
import { assertMadeFrom, schemas } from '../support/provenance';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';
import { writeEncoderDecoder } from '../fixtures/encoderDecoder';

describe('command line: plan', function () {
  this.timeout(300_000);
  let folder: string;
  let cli: string;
  const files: string[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cli-plan-'));
    cli = await buildCli();
    const text = await readFile('test/fixtures/sample.txt', 'utf8');
    for (const [at, part] of [text.slice(0, 2600), text.slice(2600, 5200), text.slice(5200)].entries()) {
      files.push(`part${at}.txt`);
      await writeFile(join(folder, `part${at}.txt`), part);
    }
  });
  after(() => rm(folder, { recursive: true }));

  const run = (...args: string[]): Promise<CliRun> => runCli(cli, args, { cwd: folder });
  const common = [
    '--budget',
    '15%',
    '--mechanisms',
    'local,longformer',
    '--runs',
    '12',
    '--max-tokens',
    '130',
  ];

  async function planned(name: string): Promise<PlanFile> {
    const file = JSON.parse(await readFile(join(folder, name), 'utf8')) as PlanFile;
    const validate = schemas().compile(schema);
    assert.ok(validate(file), JSON.stringify(validate.errors));
    return file;
  }

  it('one text: fitted to its first half, tested on the second and on the whole', async () => {
    const outputs = [
      '--json',
      'one.json',
      '--flex',
      'one.py',
      '--csv',
      'one.csv',
      '--minference',
      'one.mi.json',
    ];
    const result = await run('plan', files[0]!, ...common, ...outputs);
    assert.equal(result.code, 0, result.stderr);
    assert.match(
      result.stdout,
      /plan +[\d.]+ % of the dense pairs \(budget 15 %\), fitted to part0\.txt \(first half\)/,
    );
    const file = await planned('one.json');
    assert.deepEqual(
      file.texts.map(({ role }) => role),
      ['fitted', 'held-out', 'longer'],
    );
    assertMadeFrom(file.provenance, {
      model: (await resolveModel('bundled')).folder,
      inputs: { [files[0]!]: await readFile(join(folder, files[0]!)) },
    });
    for (const { params, settled } of [
      ...file.heads,
      ...file.uniform,
      ...file.texts[1]!.uniform,
      ...file.stability.flatMap(one => one.choices),
    ]) {
      assert.deepEqual({ ...settled, ...params }, settled, 'what was chosen is part of what came of it');
    }
    assert.equal(file.budget, 0.15);
    assert.ok(file.pairs <= 0.15 * file.densePairs);
    assert.ok(file.tried.length <= 12);
    const [fitted, held, longer] = file.texts;
    // What the plan does to the fitted text, found again by running it once more.
    assert.ok(Math.abs(fitted!.delta - file.delta) < 1e-5);
    assert.ok(
      Math.abs(fitted!.share - file.pairs / file.densePairs) < 1e-9,
      'local windows spend what was planned',
    );
    assert.deepEqual(
      fitted!.uniform.map(({ delta }) => delta.toFixed(4)),
      file.uniform.map(({ delta }) => delta.toFixed(4)),
    );
    // No rival: what so many pairs cost at the least, and how much more the plan does, text by text.
    assert.equal(file.floor!.mechanism, 'top-k');
    assert.ok(!file.heads.some(({ mechanism }) => mechanism === 'top-k'), 'the floor is not chosen');
    for (const { delta, uniform, floor } of file.texts)
      for (const { delta: other, difference } of [...uniform, floor!]) {
        assert.ok(Math.abs(difference.delta - (delta - other)) < 1e-6);
        assert.ok(difference.low <= difference.delta && difference.delta <= difference.high);
      }
    assert.ok(longer!.tokens > 1.8 * fitted!.tokens && held!.tokens > 0.8 * fitted!.tokens);
    assert.ok(longer!.share < fitted!.share, 'windows are a smaller share of a longer text');
    assert.equal(file.heads.length, file.model.layers * file.model.heads);
    assert.equal(file.stability.length, file.heads.length);
    for (const { mechanism, span, choices } of file.stability) {
      assert.ok(choices.length >= 2);
      for (const { agreement, low, high } of [mechanism, span]) {
        assert.ok(low <= agreement && agreement <= high);
        assert.ok(high - low > 0.3, 'a handful of fits that agree prove little');
      }
    }
    const lines = (await readFile(join(folder, 'one.csv'), 'utf8')).trim().split(/\r?\n/);
    assert.equal(lines.length, 1 + file.heads.length);
    assert.match(await readFile(join(folder, 'one.py'), 'utf8'), /flex_attention/);
    assert.equal(JSON.parse(await readFile(join(folder, 'one.mi.json'), 'utf8')).length, file.model.layers);
  });

  it('a folder with one text that can be used: says that no other text was there to test on', async () => {
    await mkdir(join(folder, 'single'));
    await copyFile(join(folder, files[1]!), join(folder, 'single/only.txt'));
    await writeFile(join(folder, 'single/short.txt'), 'Too short.');
    const more = ['--runs', '1', '--no-stability', '--json', 'single.json'];
    const result = await run('plan', 'single', ...common, ...more);
    assert.equal(result.code, 0, result.stderr);
    const sentence =
      'Only single/only.txt could be used: the plan is fitted to its first half and tested on its second half, not on another text.';
    assert.ok((await planned('single.json')).notes.includes(sentence));
    assert.ok(result.stdout.includes(`note: ${sentence}\n`), result.stdout);
  });

  it('several texts: fitted to the first half of them, tested on the others and on longer cuts', async () => {
    const result = await run('plan', ...files, ...common, '--no-stability', '--json', 'three.json');
    assert.equal(result.code, 0, result.stderr);
    const file = await planned('three.json');
    assert.deepEqual(
      file.texts.map(({ name, role }) => `${name} ${role}`),
      [
        'part0.txt fitted',
        'part1.txt fitted',
        'part2.txt held-out',
        'part0.txt (longer) longer',
        'part1.txt (longer) longer',
      ],
    );
    for (const { role, tokens } of file.texts) {
      if (role === 'longer') assert.ok(tokens > 130);
      else assert.equal(tokens, 130);
    }
    assert.deepEqual(file.stability, []);
    const [a, b] = file.texts;
    assert.ok(Math.abs((a!.delta + b!.delta) / 2 - file.delta) < 1e-5, 'both texts count alike');
  });

  const wrong: [string[], number, RegExp][] = [
    [['plan', '--budget', '0.1'], 2, /^Missing required argument 'files'/],
    [['plan', 'part0.txt'], 2, /^Required option '--budget <share>' not specified/],
    [['plan', 'part0.txt', '--budget', '0'], 2, /^--budget must be a share of the dense pairs/],
    [['plan', 'part0.txt', '--budget', '110%'], 2, /^--budget must be/],
    [['plan', 'part0.txt', '--budget', 'much'], 2, /^--budget must be/],
    [['plan', 'part0.txt', '--budget', '0.1', '--mechanisms', 'magic'], 2, /^There is no mechanism "magic"/],
    [['plan', 'part0.txt', '--budget', '0.1', '--mechanisms', 'performer'], 3, /keeps no set of pairs/],
    [['plan', 'part0.txt', '--budget', '0.1', '--json', 'no/such.json'], 2, /^Cannot write/],
    [['plan', 'none.txt', '--budget', '0.1'], 3, /^There is no file none\.txt/],
    [['plan', 'short.txt', '--budget', '0.1'], 3, /^short\.txt has \d+ tokens: a plan needs at least 256/],
    [['plan', '-', '-', '--budget', '0.1'], 2, /^Standard input can be read once only/],
    [
      ['plan', 'part0.txt', '--budget', '0.0001', '--mechanisms', 'local', '--max-tokens', '130'],
      3,
      // A window of one token would spend 1.5 %: the least is not 100 %.
      /^No choice of mechanisms spends so few pairs: none has a setting for so small a share of a text of this length\.\n$/,
    ],
  ];
  for (const [args, code, message] of wrong) {
    it(args.join(' '), async () => {
      await writeFile(join(folder, 'short.txt'), 'Too short to plan anything.');
      const result = await run(...args);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, message);
      assert.equal(result.stderr.trim().split('\n').length, 1, 'one sentence');
      assert.equal(result.stdout, '');
    });
  }

  it('refuses a format that the model cannot have before it searches', async () => {
    await writeFile(join(folder, 'short.txt'), 'Too short to plan anything.');
    const model = join(folder, 'encoder-decoder');
    await writeEncoderDecoder(model);
    for (const format of ['--duo', '--minference']) {
      const result = await run('plan', 'short.txt', '--budget', '20%', '--model', model, format, 'no.txt');
      assert.equal(result.code, 3, result.stderr);
      assert.match(
        result.stderr,
        /^(DuoAttention heads|MInference patterns) are for causal decoders; [^\n]*\.\n$/,
      );
    }
  });

  it('calls a tie a tie, and names texts on which more than the budget is spent', async () => {
    const some = ['--mechanisms', 'local', '--runs', '1', '--no-stability', '--max-tokens'];
    // Only a window of one token is so small.
    const tie = await run('plan', files[0]!, '--budget', '1.54%', ...some, '130');
    assert.equal(tie.code, 0, tie.stderr);
    // The plan, which is the window in every head, and the floor.
    assert.match(tie.stdout, /, 2 runs of the model$/m);
    assert.match(tie.stdout, /^part0\.txt \(second half\) .* undecided$/m);
    assert.doesNotMatch(tie.stdout, /More than the budget/);

    const text = await readFile(join(folder, files[1]!), 'utf8');
    await writeFile(join(folder, 'shorter.txt'), text.slice(0, 600));
    const over = await run('plan', files[0]!, 'shorter.txt', '--budget', '15%', ...some, '400');
    assert.equal(over.code, 0, over.stderr);
    assert.match(over.stdout, /^note: More than the budget is spent on shorter\.txt \(\d\d(\.\d)? %\): /m);
  });

  it('leaves no half files', async () => {
    const result = await run(
      'plan',
      'part0.txt',
      '--budget',
      '0.0001',
      '--mechanisms',
      'local',
      '--json',
      'half.json',
    );
    assert.equal(result.code, 3);
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.includes('half')),
      [],
    );
  });

  it('a folder: texts are chosen, the held-out ones have an interval over texts', async () => {
    const texts = join(folder, 'texts');
    await mkdir(texts);
    for (const file of files) await copyFile(join(folder, file), join(texts, file));
    await copyFile(join(folder, files[0]!), join(texts, 'same.txt'));
    await writeFile(join(texts, 'tiny.txt'), 'Too short.');
    const chosen = ['--texts', '1', '--held-out', '2', '--no-stability', '--choose', 'short-first'];
    const result = await run('plan', 'texts', ...common, ...chosen, '--json', 'folder.json');
    assert.equal(result.code, 0, result.stderr);
    const file = await planned('folder.json');
    const roles = file.texts.map(({ role }) => role).filter(role => role !== 'longer');
    assert.deepEqual(roles, ['fitted', 'held-out', 'held-out']);
    assert.deepEqual(file.corpus!.skipped.map(({ name }) => name).length, 2);
    assert.deepEqual([file.corpus!.choose, file.corpus!.left], ['short-first', 0]);
    const held = file.texts.filter(({ role }) => role === 'held-out').map(({ delta }) => delta);
    assert.ok(Math.abs(file.heldOut!.delta - (held[0]! + held[1]!) / 2) < 1e-12);
    // Student's t of two values: 12.706 standard errors, which are half of their distance.
    const half = (12.706 * Math.abs(held[0]! - held[1]!)) / 2;
    assert.ok(Math.abs(file.heldOut!.interval!.high - file.heldOut!.delta - half) < 1e-3 * (half + 1e-6));
    assert.ok(file.heldOut!.best);
    assert.match(result.stdout, /held out +2 texts: .* on average/);
    assert.match(result.stdout, /nearly the same as/);
    const none = await run('plan', 'texts/tiny.txt', 'texts/t*', ...common);
    assert.equal(none.code, 3);
    assert.match(
      none.stderr,
      /^No text can be planned for: .*tiny\.txt: it has \d+ tokens, and a plan needs 128\.$/m,
    );
  });
});
