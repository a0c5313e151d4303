import assert from 'node:assert/strict';
import type { PathLike } from 'node:fs';
import disk, { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseMechanisms } from '../../engine/cli/arguments';
import type { Corpus } from '../../engine/corpus/corpus';
import { LISTED, OF_ONE_TEXT, SAMPLED } from '../../engine/corpus/excerpts';
import { findTexts, type CorpusFile } from '../../engine/corpus/files';
import { partOf, shardOf } from '../../engine/corpus/parts';
import { profileTexts, type ProfileRun } from '../../engine/corpus/run';
import { finish, keep, readProfile, resume } from '../../engine/corpus/store';
import { tablesOf } from '../../engine/corpus/tables';
import { profileOf } from '../../engine/corpus/views';
import { Engine } from '../../engine/engine';
import { CancelledError } from '../../engine/errors';
import { assertMadeFrom } from '../support/provenance';
import { buildCli, runCli } from '../fixtures/cli';
import { differencesOf, distributionOf, facetsOf, measuresOf, pointsOf } from '../../webview/model/corpus';
import { changingModel, changingText, writePlanted } from '../fixtures/plantedModels';

const TOKENS = 96;

/**
 * Runs something whose process is killed after so many steps on the disk: no later one is done, and of a folder that was
 * being removed a part is left. False where it was.
 */
async function dyingAfter(steps: number, act: () => Promise<void>): Promise<boolean> {
  let left = steps;
  const real = { ...disk };
  const die = (): never => {
    throw new Error('killed');
  };
  const step =
    <A extends unknown[], R>(run: (...given: A) => Promise<R>, half: (...given: A) => unknown = () => null) =>
    async (...given: A): Promise<R> => {
      if (left < 0) die();
      if (left-- > 0) return run(...given);
      await half(...given);
      return die();
    };
  const removed = async (path: PathLike) => {
    const names = await real.readdir(path).catch(() => [] as string[]);
    for (const name of names.filter((_, at) => at % 2 === 1)) await real.rm(join(String(path), name));
  };
  Object.assign(disk, {
    rm: step(real.rm, removed),
    rename: step(real.rename),
    mkdir: step(real.mkdir as (path: PathLike) => Promise<unknown>),
    open: step(real.open),
  });
  try {
    await act();
    return true;
  } catch (error) {
    assert.equal(left, -1, String(error));
    return false;
  } finally {
    Object.assign(disk, real);
  }
}

describe('profiles of a corpus', function () {
  this.timeout(120_000);
  let folder: string;
  let engine: Engine;
  let files: CorpusFile[];
  let whole: Corpus;
  const mechanisms = parseMechanisms('local:window=8').map(({ setting }) => setting);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'profile-'));
    const texts = join(folder, 'texts');
    await mkdir(join(texts, 'code'), { recursive: true });
    writePlanted(join(folder, 'model'), changingModel('partner'));
    await writeFile(join(texts, 'a.txt'), changingText(80, 0));
    await writeFile(join(texts, 'b.txt'), changingText(30, 0));
    await writeFile(join(texts, 'c.TXT'), changingText(120, 0));
    await writeFile(join(texts, 'code/one.ts'), changingText(70, 12));
    await writeFile(join(texts, 'code/two.ts'), changingText(90, 16));
    await writeFile(join(texts, 'picture.png'), Buffer.from([137, 80, 78, 71, 0, 1, 2, 0]));
    engine = new Engine();
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    files = await findTexts(texts, ['.']);
    whole = await profile(files, 'whole');
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  function profile(
    some: readonly CorpusFile[],
    name: string,
    more: Partial<ProfileRun> = {},
  ): Promise<Corpus> {
    return profileTexts({
      engine,
      root: join(folder, 'texts'),
      files: some,
      model: join(folder, 'model'),
      device: 'cpu',
      mechanisms,
      settings: {
        version: 'test',
        model: 'planted',
        modelSha256: null,
        parameters: 0,
        device: 'cpu',
        maxTokens: TOKENS,
        mechanisms: mechanisms.map(({ key }) => key),
        propagate: true,
      },
      folder: join(folder, name),
      signal: new AbortController().signal,
      onText: () => undefined,
      ...more,
    });
  }

  /** Every file of the finished profile. */
  async function written(corpus: Corpus, name: string): Promise<Record<string, string>> {
    const place = join(folder, name);
    await mkdir(place, { recursive: true });
    await finish(place, corpus);
    const names = (await readdir(place)).sort();
    const contents = await Promise.all(names.map(file => readFile(join(place, file), 'base64')));
    return Object.fromEntries(names.map((file, at) => [file, contents[at]!]));
  }

  it('names by what it can be made again', async () => {
    const { 'profile.json': about } = await written(whole, 'named');
    const { provenance } = JSON.parse(Buffer.from(about!, 'base64').toString('utf8'));
    assert.equal(provenance.length, 1, 'one machine');
    assertMadeFrom(provenance[0], { model: join(folder, 'model'), inputs: {} });
  });

  it('finds texts by folder and pattern, with their kinds', async () => {
    const kinds = Object.fromEntries(files.map(({ file, kind }) => [file, kind]));
    assert.deepEqual(kinds, {
      'a.txt': 'txt',
      'b.txt': 'txt',
      'c.TXT': 'txt',
      'code/one.ts': 'ts',
      'code/two.ts': 'ts',
      'picture.png': 'png',
    });
    const found = await findTexts(join(folder, 'texts'), ['code/*.ts', 'a.txt', './a.txt']);
    assert.deepEqual(
      found.map(({ file }) => file),
      ['a.txt', 'code/one.ts', 'code/two.ts'],
    );
    await assert.rejects(findTexts(join(folder, 'texts'), ['none/**']), /There are no files/);
  });

  it('a text that fails is named and skipped', () => {
    const failed = [...whole.texts.values()].filter(text => text.failed !== null);
    assert.deepEqual(
      failed.map(({ file, failed }) => ({ file, failed })),
      [{ file: 'picture.png', failed: 'picture.png is not a text: it holds binary data.' }],
    );
    assert.equal(whole.textsOf('all'), 5);
    assert.equal(whole.textsOf('kind:ts'), 2);
  });

  it('any order, shards in any order, and going on after a stop give the same files to the last bit', async () => {
    const expected = await written(whole, 'whole');
    const tables = tablesOf(whole);
    assert.deepEqual(tablesOf(await profile([...files].reverse(), 'reversed')), tables);

    const shards = [1, 2, 3].map(index => shardOf(files, { index, of: 3 }));
    for (const [at, shard] of shards.entries()) await written(await profile(shard, `s${at}`), `s${at}`);
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
    ]) {
      const [first, ...rest] = order;
      const merged = await readProfile(join(folder, `s${first}`));
      for (const at of rest) merged.merge(await readProfile(join(folder, `s${at}`)));
      assert.deepEqual(tablesOf(merged), tables);
    }

    await mkdir(join(folder, 'stopped'));
    const stop = new AbortController();
    let profiled = 0;
    const counting: Partial<ProfileRun> = {
      onText: () => ++profiled === 3 && stop.abort(),
      signal: stop.signal,
    };
    await assert.rejects(profile(files, 'stopped', counting), CancelledError);
    assert.equal(profiled, 3);
    const resumed = await profile(files, 'stopped', { onText: () => profiled++ });
    assert.equal(profiled, files.length);
    assert.deepEqual(await written(resumed, 'stopped'), expected);
  });

  it('whenever it is killed while it keeps or ends, a whole profile is left to go on from', async () => {
    const part = await profile(files.slice(0, 3), 'part');
    const place = join(folder, 'killed');
    // Something is kept already; something was finished already.
    for (const [name, before] of Object.entries({ kept: keep, finished: finish })) {
      const start = join(folder, `${name} before`);
      await mkdir(start);
      await before(start, part);
      const left = new Set<number>();
      let deaths = 0;
      for (let ended = false; !ended; deaths++) {
        await rm(place, { recursive: true, force: true });
        await cp(start, place, { recursive: true });
        // Which keeps it first.
        ended = await dyingAfter(deaths, () => finish(place, whole));
        left.add((await resume(place, whole.settings))!.texts.size);
      }
      assert.ok(deaths > 10, `${deaths}`);
      assert.deepEqual(left, new Set([3, files.length]));
    }
  });

  it('is not mixed with other settings, other texts, or a text twice', async () => {
    await written(whole, 'kept');
    const settings = { ...whole.settings, maxTokens: 64 };
    await assert.rejects(profile(files, 'kept', { settings }), /other settings/);
    await assert.rejects(profile(files.slice(1), 'kept'), /not asked for \(a\.txt\)/);
    const again = await readProfile(join(folder, 'kept'));
    assert.throws(() => again.merge(whole), /a\.txt is in more than one/);
    const other = await readProfile(join(folder, 'kept'));
    for (const text of other.texts.values()) text.hash = 'other';
    assert.throws(() => again.merge(other), /different texts of the same name \(a\.txt\)/);
    await writeFile(join(folder, 'texts/b.txt'), 'Something else.');
    await assert.rejects(profile(files, 'kept'), /b\.txt has changed/);
  });

  it('every measure of every query and text is counted once; the means are those of the analyses', async () => {
    const { measures } = tablesOf(whole);
    const tokens = [...whole.texts.values()].reduce((sum, text) => sum + text.tokens, 0);
    const of = (over: string, measure: string, facet: string) =>
      measures.find(
        row =>
          row.core === 0 &&
          row.head === 1 &&
          row.over === over &&
          row.measure === measure &&
          row.facet === facet,
      )!;
    assert.equal(of('queries', 'entropy', 'all').count, tokens);
    const kinds = ['txt', 'ts'].map(kind => of('queries', 'span95', `kind:${kind}`).count);
    assert.equal(kinds[0]! + kinds[1]!, tokens);
    const lengths = measures.filter(
      row =>
        row.core === 0 &&
        row.head === 1 &&
        row.over === 'queries' &&
        row.measure === 'span95' &&
        row.facet.startsWith('length:'),
    );
    assert.equal(
      lengths.reduce((sum, { count }) => sum + count, 0),
      tokens,
    );
    const text = (await readFile(join(folder, 'texts/a.txt'), 'utf8')).toString();
    const only = await profile(files.slice(0, 1), 'only');
    const summary = await engine.analyze({
      id: 'one',
      model: join(folder, 'model'),
      device: 'cpu',
      text,
      maxTokens: TOKENS,
      mechanisms,
      propagate: true,
    });
    const rows = tablesOf(only).measures.filter(row => row.facet === 'all');
    for (const { heads } of summary.cores) {
      for (const head of heads) {
        for (const over of ['queries', 'texts']) {
          const named = (measure: string) =>
            rows.find(
              row =>
                row.core === head.core &&
                row.head === head.head &&
                row.over === over &&
                row.measure === measure,
            )!;
          for (const measure of [
            'entropy',
            'relativeEntropy',
            'meanDistance',
            'span90',
            'span95',
            'span99',
          ] as const) {
            assert.ok(
              Math.abs(named(measure).mean - head[measure]) < 1e-4 * (1 + head[measure]),
              `${over} ${measure}`,
            );
          }
          for (const target of ['self', 'previous', 'next', 'first'] as const) {
            assert.ok(Math.abs(named(target).mean - head.to[target]) < 1e-5, `${over} ${target}`);
          }
        }
      }
    }
    const [result] = summary.mechanisms;
    const change = rows.find(row => row.core === null && row.measure === 'lossChange: local (window 8)')!;
    assert.ok(Math.abs(change.mean - result!.deltaLoss!) < 1e-6);
    const recall = rows.find(
      row => row.core === 0 && row.head === 0 && row.measure === 'recall: local (window 8)',
    )!;
    const expected = result!.heads.find(({ core, head }) => core === 0 && head === 0)!.recall!;
    assert.ok(Math.abs(recall.mean - expected) < 1e-6);
  });

  it('excerpts: the most and the least of all queries, two of a text at most, in their context', async () => {
    const { excerpts, contexts, measures } = tablesOf(whole);
    const contextOf = (row: { file: string; query: number }) =>
      contexts.find(({ file, query }) => file === row.file && query === row.query)!;
    const own = excerpts.filter(row => row.core === 0 && row.head === 0);
    for (const criterion of ['farMass', 'largestScore', 'outputNorm'] as const) {
      const all = measures.find(
        row =>
          row.core === 0 &&
          row.head === 0 &&
          row.over === 'queries' &&
          row.measure === criterion &&
          row.facet === 'all',
      )!;
      const most = own.filter(row => row.place === 'most' && row.criterion === criterion);
      assert.equal(most.length, LISTED);
      assert.equal(most[0]![criterion], all.max);
      assert.ok(most.every((row, at) => at === 0 || row[criterion] <= most[at - 1]![criterion]));
      for (const { file } of most) {
        assert.ok(most.filter(row => row.file === file).length <= OF_ONE_TEXT);
      }
      const least = own.filter(row => row.place === 'least' && row.criterion === criterion);
      if (criterion !== 'farMass') assert.equal(least[0]![criterion], all.min);
    }
    assert.equal(own.filter(row => row.place === 'sample').length, SAMPLED);
    assert.equal(new Set(own.filter(row => row.place === 'sample').map(contextOf)).size, SAMPLED);
    for (const row of own) {
      const { start, end, tokens, at, line } = contextOf(row);
      const text = await readFile(join(folder, 'texts', row.file), 'utf8');
      if (row.file === 'b.txt') continue; // written anew by the test before
      assert.ok(tokens[at]!.endsWith(text.slice(start, end)));
      assert.equal(line, text.slice(0, start).split('\n').length);
      assert.ok(text.includes(tokens.join('')));
      assert.equal(row.masses.length, tokens.length);
      const inWindow = row.masses.reduce((sum, mass) => sum + mass, 0);
      assert.ok(inWindow >= 0 && inWindow <= 1.0001);
      if (row.far_key !== null) {
        assert.ok(Math.abs(row.far_key_mass! - row.farMass) < 1e-5);
        assert.ok(text.includes(row.far_text!));
      }
    }
  });

  it('what heads make of the sampled tokens: queries, keys, and the outputs that the masses give', async () => {
    const { excerpts } = tablesOf(whole);
    const sampled = excerpts.filter(row => row.place === 'sample');
    assert.ok(excerpts.every(row => row.place === 'sample' || row.query_vector.length === 0));
    let reached = 0;
    for (const row of sampled) {
      const norm = Math.hypot(...row.output_vector);
      assert.ok(Math.abs(norm - row.outputNorm) < 1e-4 * (1 + norm));
      // Of the keys that are sampled as well, none has a higher score than the highest of all; some are the highest.
      const seen = sampled.filter(
        other =>
          other.file === row.file &&
          other.core === row.core &&
          other.head === row.head &&
          other.query <= row.query,
      );
      for (const { key_vector: key } of seen) {
        const score =
          row.query_vector.reduce((sum, value, d) => sum + value * key[d]!, 0) / Math.sqrt(key.length);
        assert.ok(score < row.largestScore + 1e-3);
        if (score > row.largestScore - 1e-3) reached++;
      }
    }
    assert.ok(reached > 10, `${reached}`);
    const { sample, heads } = profileOf(whole);
    assert.equal(sample.length, SAMPLED);
    for (const { projections } of heads) {
      assert.deepEqual(
        projections.map(({ of }) => of),
        ['query', 'key', 'output'],
      );
      for (const { shares, coordinates } of projections) {
        assert.equal(coordinates.length, shares.length * SAMPLED);
        assert.ok(shares.every((share, c) => c === 0 || share <= shares[c - 1]! + 1e-9));
      }
    }
  });

  for (const wanted of ['partner', 'first'] as const) {
    it(`a head that changes with the kind of text is seen to (${wanted})`, async () => {
      const model = join(folder, `model-${wanted}`);
      writePlanted(model, changingModel(wanted));
      await mkdir(join(folder, 'texts/kinds'), { recursive: true });
      for (let t = 0; t < 4; t++) {
        await writeFile(join(folder, `texts/kinds/${t}.plain`), changingText(60 + 5 * t, 0));
        await writeFile(join(folder, `texts/kinds/${t}.words`), changingText(84 + t, 32 - t));
      }
      const kinds = await findTexts(join(folder, 'texts'), ['kinds']);
      const corpus = await profile(kinds, `kinds-${wanted}`, { model, mechanisms: [] });
      const { measures, excerpts, roles } = tablesOf(corpus);
      const mean = (head: number, measure: string, kind: string) =>
        measures.find(
          row =>
            row.head === head &&
            row.over === 'queries' &&
            row.measure === measure &&
            row.facet === `kind:${kind}`,
        )!.mean;
      const measure = wanted === 'first' ? 'first' : 'farMass';
      assert.ok(mean(0, measure, 'words') - mean(0, measure, 'plain') > 0.25);
      assert.ok(mean(0, 'previous', 'plain') - mean(0, 'previous', 'words') > 0.25);
      for (const name of [measure, 'previous'])
        assert.ok(Math.abs(mean(1, name, 'words') - mean(1, name, 'plain')) < 0.05, name);
      const held = (head: number, name: string, kind: string) =>
        roles.find(row => row.head === head && row.role === name && row.facet === `kind:${kind}`)?.texts ?? 0;
      assert.equal(held(0, 'previous', 'plain'), 4);
      assert.equal(held(1, 'previous', 'words'), 4);
      if (wanted === 'partner') {
        const most = excerpts.filter(
          row => row.head === 0 && row.place === 'most' && row.criterion === 'farMass',
        );
        assert.equal(most.length, LISTED);
        assert.ok(most.every(({ file, farMass }) => file.endsWith('.words') && farMass > 0.99));
      }
    });
  }

  it('the views: deciles in order, the kinds that differ, points of all heads', async () => {
    const kinds = await findTexts(join(folder, 'texts'), ['kinds']);
    const model = join(folder, 'model-partner');
    const shown = profileOf(await profile(kinds, 'kinds-partner', { model, mechanisms: [] }));
    assert.deepEqual(shown.missing, []);
    const part = partOf(kinds, { index: 2, of: 3 });
    const shard = profileOf(await profile(kinds, 'kinds-partner', { model, mechanisms: [], part }));
    assert.deepEqual(shard.missing, [{ texts: kinds.length, of: 3, shards: [1, 3] }]);
    const [changing, steady] = shown.heads;
    assert.equal(shown.texts.length, kinds.length);
    const deciles = changing!.excerpts.filter(
      ({ place, criterion }) => typeof place === 'number' && criterion === 'farMass',
    );
    assert.equal(deciles.length, 20);
    assert.ok(
      deciles
        .filter(one => one.place === 1)
        .every(low => deciles.filter(one => one.place === 10).every(high => low.value <= high.value)),
    );
    const measures = ['farMass', 'previous', 'meanDistance', 'largestMass'];
    const [first] = differencesOf(changing!, shown).filter(({ key }) =>
      measures.includes(key.split(' ')[1]!),
    );
    assert.ok(first!.distance > 0.5, `${first!.key} ${first!.distance}`);
    assert.deepEqual(new Set(first!.kinds.map(({ facet }) => facet)), new Set(['kind:plain', 'kind:words']));
    const same = differencesOf(steady!, shown).find(({ key }) => key === 'queries previous');
    assert.ok(!same || first!.distance > 2 * same.distance);
    const points = pointsOf(shown, {
      x: 'queries span95',
      y: 'texts previous',
      colour: 'queries entropy',
      facet: 'kind:words',
    });
    assert.equal(points.length, 2);
    assert.equal(points[1]!.y, distributionOf(steady!, 'texts previous', 'kind:words')!.mean);
    assert.deepEqual(
      pointsOf(shown, { x: 'queries span95', y: 'none', colour: 'queries entropy', facet: 'all' }),
      [],
    );
    assert.deepEqual(facetsOf(shown).slice(0, 3), ['all', 'kind:plain', 'kind:words']);
    assert.ok(measuresOf(shown).some(({ label }) => label === 'Most mass on one far key'));
  });

  it('the command line: workers, shards and merge; a second call finds everything done', async () => {
    const cli = await buildCli();
    const run = (...args: string[]) => runCli(cli, args, { cwd: folder });
    const common = [
      'texts/code',
      'texts/a.txt',
      'texts/picture.png',
      '--model',
      'model',
      '--max-tokens',
      '48',
    ];
    const read = async (name: string) => {
      const names = ['texts', 'measures', 'roles', 'contexts', 'excerpts'];
      return Promise.all(names.map(file => readFile(join(folder, name, `${file}.parquet`), 'base64')));
    };
    const two = await run('profile', ...common, '--workers', '2', '--output', 'two');
    assert.equal(two.code, 0, two.stderr);
    assert.match(two.stderr, /^skipped picture\.png: .* is not a text/m);
    assert.match(two.stdout, /3 profiled, 144 tokens, 1 skipped/);
    const merged = await run('merge', 'two/shard-2-of-2', 'two/shard-1-of-2', '--output', 'merged');
    assert.equal(merged.code, 0, merged.stderr);
    const one = await run('profile', ...common, '--output', 'one');
    assert.equal(one.code, 0, one.stderr);
    assert.equal(one.stdout, two.stdout);
    for (const name of ['two', 'merged']) assert.deepEqual(await read(name), await read('one'));
    // The same text is the same wherever the command is called.
    const inside = (...args: string[]) => runCli(cli, args, { cwd: join(folder, 'texts') });
    const same = ['code', 'a.txt', 'picture.png', '--model', '../model', '--max-tokens', '48'];
    const elsewhere = await inside('profile', ...same, '--shard', '1/2', '--output', '../elsewhere');
    assert.equal(elsewhere.code, 0, elsewhere.stderr);
    assert.match(elsewhere.stdout, /^missing {3}shard 2 of 2 is missing, of 4 texts in all$/m);
    assert.deepEqual(await read('elsewhere'), await read('two/shard-1-of-2'));
    const twice = await run('merge', 'elsewhere', 'two/shard-1-of-2', '--output', 'twice');
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /^The text a\.txt is in more than one of the profiles\.$/m);
    const resumed = await inside('profile', ...same, '--output', '../one');
    assert.equal(resumed.stdout, one.stdout);
    const half = await run('merge', 'two/shard-2-of-2', '--output', 'half');
    assert.equal(half.code, 0, half.stderr);
    assert.match(half.stdout, /^missing {3}shard 1 of 2 is missing, of 4 texts in all$/m);
    const about = async (name: string) =>
      JSON.parse(await readFile(join(folder, name, 'profile.json'), 'utf8'));
    const [part] = (await about('half')).parts;
    assert.deepEqual([part.of, part.held, part.missing, part.texts], [2, [2], [1], 4]);
    assert.deepEqual((await about('merged')).parts, []);
    const before = await read('two/shard-1-of-2');
    const shards = ['two/shard-1-of-2', 'two/shard-2-of-2'];
    const over = await run('merge', ...shards, '--output', './two/shard-1-of-2/');
    assert.equal(over.code, 2);
    assert.match(over.stderr, /it is one of the profiles that are read/);
    const page = await run('merge', ...shards, '--output', 'z', '--html', 'two/shard-1-of-2/texts.parquet');
    assert.equal(page.code, 2);
    assert.deepEqual(await read('two/shard-1-of-2'), before);
    const text = await run('profile', ...common, '--output', 'one', '--html', 'texts/a.txt');
    assert.equal(text.code, 2);
    assert.match(text.stderr, /^Cannot write texts\/a\.txt: it is an input\.$/m);
    const wrong = await run('profile', 'texts', '--shard', '3/2', '--output', 'x');
    assert.equal(wrong.code, 2);
    const nothing = await run('merge', 'texts', '--output', 'y');
    assert.equal(nothing.code, 3);
    const other = await run('profile', 'texts', '--output', 'texts');
    assert.equal(other.code, 2);
    assert.match(other.stderr, /it holds something else/);
  });
});
