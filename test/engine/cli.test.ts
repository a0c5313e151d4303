import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors, readSafetensors, writeSafetensors } from '../../engine/export/safetensors';
import schema from '../../engine/export/analysis.schema.json';
import type { AnalysisJson } from '../../engine/export/json';
import { floats, type Tensor } from '../../engine/runtime/tensor';
import { bundledModels, resolveModel } from '../../engine/model/source/source';
import { HubServer } from '../fixtures/hubServer';
import { bareModel } from '../support/bareModel';
import { assertMadeFrom, schemas } from '../support/provenance';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');

describe('command line', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cli-'));
    cli = await buildCli();
  });
  after(() => rm(folder, { recursive: true }));

  const at = (name: string): string => join(folder, name);
  const run = (...args: string[]): Promise<CliRun> => runCli(cli, args, { cwd: folder });

  async function put(name: string, content: string | Uint8Array): Promise<string> {
    await writeFile(at(name), content);
    return name;
  }

  function assertFails(result: CliRun, code: number, message: RegExp): void {
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
    assert.equal(result.stderr.trim().split('\n').length, 1, 'one sentence');
    assert.match(result.stderr, /[.!?]\n$/);
    assert.equal(result.stdout, '');
  }

  it('gives a result to standard output alone, whatever is behind it', async () => {
    await put('short.txt', 'The cat sat on the mat.');
    const command = ['analyze', 'short.txt', '--device', 'cpu'];
    const piped = await run(...command, '--json', '-');
    assert.ok((JSON.parse(piped.stdout) as AnalysisJson).tokens > 3, piped.stderr);
    assert.match(piped.stderr, /layer/, 'what people read goes to the other side');
    assertFails(await run(...command, '--json', '-', '--csv', '/dev/stdout'), 2, /another result/);
    assertFails(await run(...command, '--tensors', '-'), 2, /Tensors cannot be written to standard output/);
  });

  it('completes its commands and options in shells', async () => {
    const bash = await run('completion', 'bash');
    assert.equal(bash.code, 0, bash.stderr);
    const complete = (...words: string[]) => {
      const script = `${bash.stdout}
COMP_WORDS=(attention-inspector ${words.join(' ')}); COMP_CWORD=${words.length}
_attention_inspector; echo "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' }).trim().split(' ');
    };
    assert.deepEqual(complete('ana'), ['analyze']);
    assert.deepEqual(complete('analyze', '--mec'), ['--mechanisms']);
    assert.deepEqual(complete('models', 'ver'), ['verify']);
    for (const [shell, mark] of [
      ['zsh', /^#compdef attention-inspector\n/],
      ['fish', /-l mechanisms -r -d '/],
    ] as const)
      assert.match((await run('completion', shell)).stdout, mark);
    assertFails(await run('completion', 'csh'), 2, /bash, zsh, fish, powershell/);
  });

  it('completes the same words in PowerShell, in a script that is well formed', async () => {
    const [bash, powershell] = await Promise.all([
      run('completion', 'bash'),
      run('completion', 'powershell'),
    ]);
    assert.equal(powershell.code, 0, powershell.stderr);
    const script = powershell.stdout;
    // Literals are on one line, and nothing but them has quotes, typographic ones included.
    const code = script.replace(/'(?:[^'\u2018-\u201b\n]|['\u2018-\u201b]{2})*'/g, '0');
    assert.doesNotMatch(code, /['"`\u2018-\u201f#]/);
    const open: string[] = [];
    const closing: Record<string, string> = { '(': ')', '{': '}', '[': ']' };
    for (const bracket of code.match(/[()[\]{}]/g)!)
      if (bracket in closing) open.push(closing[bracket]!);
      else assert.equal(bracket, open.pop());
    assert.deepEqual(open, []);
    const words = new Map<string, string[]>();
    for (const [, path, body] of script.matchAll(/^ {4}'(.*)' = \[ordered\]@\{\n([^]*?)^ {4}\}$/gm)) {
      const entries = [...body!.matchAll(/^ {6}'(\S+)' = '(.+)'$/gm)];
      assert.equal(entries.length, body!.split('\n').length - 1, `all of ${path}`);
      words.set(
        path!,
        entries.map(([, word]) => word!),
      );
    }
    for (const [path, list] of words)
      assert.equal(new Set(list.map(word => word.toLowerCase())).size, list.length, `each once: ${path}`);
    const expected = [...bash.stdout.matchAll(/^ {4}(?:\*|"(.*) "\*)\) words="(.*)" ;;$/gm)].map(
      ([, path, list]) => [path ?? '', list!.split(' ')],
    );
    assert.ok(expected.length > 10);
    assert.deepEqual([...words], expected);
  });

  it('shows the models that were downloaded, and removes them and nothing else', async () => {
    const cache = at('cache');
    await mkdir(join(cache, 'org--tiny/abc'), { recursive: true });
    await mkdir(join(cache, 'known'));
    await writeFile(join(cache, 'org--tiny/abc/model.onnx'), new Uint8Array(2e6));
    await writeFile(join(cache, 'mine.txt'), '');
    const cacheCommand = (...args: string[]) =>
      runCli(cli, ['models', 'cache', ...args], {
        cwd: folder,
        env: { ATTENTION_INSPECTOR_CACHE: cache },
      });
    assert.equal((await cacheCommand()).stdout, `org/tiny  2.0 MB\n1 model, 2.0 MB in ${cache}\n`);
    assert.equal((await cacheCommand('--clear')).stdout, `1 model, 2.0 MB removed from ${cache}\n`);
    assert.deepEqual(await readdir(cache), ['mine.txt']);
    assert.equal((await cacheCommand()).stdout, `0 models, 0.0 MB in ${cache}\n`);
  });

  it('writes no colours', async () => {
    const result = await runCli(cli, ['models'], { cwd: folder, env: { NO_COLOR: '1' } });
    assert.ok(!(result.stdout + result.stderr).includes('\x1b'));
  });

  it('shows help and version', async () => {
    const help = await run('--help');
    assert.equal(help.code, 0);
    assert.match(
      help.stdout,
      /^Texts:\n +analyze[^]*^Models:\n +heads[^]*\n +models[^]*^Many texts:\n +profile[^]*^Tensors:\n +attend/m,
    );
    assert.match(
      (await run('analyze', '--help')).stdout,
      /^The model:\n +--model[^]*^The text:\n +--target[^]*^What is computed:\n +--mechanisms[^]*^What is written:\n +--json/m,
    );
    assert.match((await run('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
    assert.match((await run('attend', '--help')).stdout, /adaptive-span/);
  });

  const usage: [string[], RegExp][] = [
    [[], /^A command is missing/],
    [['fly'], /^Unknown command 'fly'/],
    [['analyze'], /^Missing required argument 'file'/],
    [['analyze', 'a', 'b'], /^Too many arguments/],
    [['analyze', 'a', '--frobnicate'], /^Unknown option '--frobnicate'/],
    [['analyze', 'a', '--max-tokens', '1'], /^--max-tokens must be a whole number of at least 2, not "1"\./],
    [['analyze', 'a', '--max-tokens', '1e3'], /not "1e3"/],
    [['analyze', 'a', '--device', 'abacus'], /^--device must be one of auto, cpu, /],
    [['analyze', 'a', '--mechanisms', 'magic'], /^There is no mechanism "magic" \(there are: /],
    [
      ['analyze', 'a', '--mechanisms', 'local:size=3'],
      /^The mechanism local has no parameter "size" \(it has: window\)/,
    ],
    [
      ['analyze', 'a', '--mechanisms', 'local:window=wide'],
      /^The parameter window of local must be a number, not "wide"/,
    ],
    [['analyze', 'a', '--mechanisms', 'local:window=1;window=2'], /^The parameter window is given twice/],
    [['analyze', 'a', '--mechanisms', 'local:window'], /^"window" is not of the form key=value/],
    [
      ['analyze', 'a', '--mechanisms', 'local', '--budget', '0'],
      /^--budget must be a share of the dense pairs/,
    ],
    [['analyze', 'a', '--budget', '10%'], /^--budget goes with --mechanisms/],
    [['analyze', 'a', '--weights'], /^--weights goes with --tensors/],
    [
      ['analyze', 'a', '--json', 'no/such/folder.json'],
      /^Cannot write no\/such\/folder\.json: the folder .* does not exist\./,
    ],
    [['analyze', 'a', '--json', '.'], /^Cannot write \.: it is a folder\./],
    [['attend', 'a', '--output', 'b'], /^Required option '--mechanism <name>' not specified/],
    [['models', 'verify'], /^Missing required argument 'ref'/],
  ];
  for (const [args, message] of usage) {
    it(`exits with 2: ${args.join(' ') || 'nothing'}`, async () =>
      assertFails(await run(...args), 2, message));
  }

  describe('attend', () => {
    const q: Tensor = { type: 'float32', data: Float32Array.of(1, 0, 0, 1, 1, 1), dims: [1, 3, 2] };
    const tensors = { q, k: q, v: q };

    it('writes what the mechanism gives', async () => {
      await writeSafetensors(at('in.safetensors'), tensors);
      const result = await run(
        ...[
          'attend',
          'in.safetensors',
          '--mechanism',
          'local',
          '--param',
          'window=1',
          '--causal',
          '--weights',
        ],
        ...['--output', 'out.safetensors'],
      );
      assert.equal(result.code, 0, result.stderr);
      const out = await readSafetensors(at('out.safetensors'));
      const file = await openSafetensors(at('out.safetensors'));
      const { provenance, mechanism } = file.metadata;
      await file.close();
      const given = await readFile(at('in.safetensors'));
      assertMadeFrom(JSON.parse(provenance!), { model: null, inputs: { 'in.safetensors': given } });
      assert.deepEqual(JSON.parse(mechanism!), { name: 'local', settled: { window: 1 } });
      // A window of one key is the query's own position.
      assert.deepEqual(out.output, q);
      assert.deepEqual(out.weights, {
        type: 'float32',
        data: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1),
        dims: [1, 3, 3],
      });
    });

    it('exits with 2 for a wrong parameter, with 3 for tensors that do not fit, and leaves no file', async () => {
      const attend = (file: string, ...more: string[]) =>
        run('attend', file, '--mechanism', 'local', '--output', 'none.safetensors', ...more);
      assertFails(
        await attend('in.safetensors', '--param', 'window=-1'),
        2,
        /^The parameter window of local/,
      );
      assertFails(await attend('absent.safetensors'), 3, /^absent\.safetensors does not exist\./);
      await put('text.safetensors', 'This is a sentence and not a tensor.');
      assertFails(await attend('text.safetensors'), 3, /^text\.safetensors is not a valid safetensors file/);
      await writeSafetensors(at('few.safetensors'), { q });
      assertFails(await attend('few.safetensors'), 3, /^The tensor "k" is missing\./);
      assert.ok(!(await readdir(folder)).some(name => name.startsWith('none')));
    });
  });

  it('lists the bundled model', async () => {
    const { code, stdout } = await run('models');
    assert.equal(code, 0);
    for (const name of await bundledModels()) assert.match(stdout, new RegExp(`^${name} +bundled`, 'm'));
    assert.equal((await run('models', 'list')).stdout, stdout);
  });

  it('verifies a model', async () => {
    const { code, stdout, stderr } = await run(
      ...['models', 'verify', 'bundled', '--device', 'cpu', '--json', 'verified.json'],
    );
    assert.equal(code, 0, stderr);
    const { provenance } = JSON.parse(await readFile(at('verified.json'), 'utf8'));
    assertMadeFrom(provenance, { model: (await resolveModel('bundled')).folder, inputs: {} });
    assert.match(stdout, /verified +largest difference \S+ /);
    assert.match(stdout, /causal/);
  });

  it('verifies and lists a model of the hub', async () => {
    const hub = await new HubServer().start();
    const { onnx, folder: model } = await resolveModel('bundled');
    const files = await Promise.all(
      [onnx, join(model, 'tokenizer.json'), join(model, 'config.json')].map(f => readFile(f)),
    );
    hub.add('org/prose', {
      'onnx/model.onnx': files[0]!,
      'tokenizer.json': files[1]!,
      'config.json': files[2]!,
    });
    const env = { HF_ENDPOINT: hub.url, ATTENTION_INSPECTOR_CACHE: at('cache') };
    try {
      const verified = await runCli(cli, ['models', 'verify', 'org/prose', '--device', 'cpu'], {
        cwd: folder,
        env,
      });
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stdout, /^model +org\/prose: decoder, /);
      const listed = await runCli(cli, ['models', 'list', 'org/prose'], { cwd: folder, env });
      assert.match(listed.stdout, /^org\/prose\/onnx\/model\.onnx +hub +\d+\.\d MB$/m);
      const missing = await runCli(cli, ['models', 'verify', 'org/none', '--device', 'cpu'], {
        cwd: folder,
        env,
      });
      assertFails(missing, 3, /^There is no model org\/none on 127/);
    } finally {
      await hub.stop();
    }
  });

  describe('analyze', () => {
    const TEXT =
      'The cat sat on the mat. The dog sat on the log.\n\nThen the cat sat on the dog 😀.\n'.repeat(4);
    let summary: AnalysisJson;
    let result: CliRun;
    before(async () => {
      await put('text.txt', TEXT);
      result = await run(
        ...[
          'analyze',
          'text.txt',
          '--device',
          'cpu',
          '--mechanisms',
          'local:window=8,strided',
          '--propagate',
          '--compare',
        ],
        ...['--json', 'a.json', '--tensors', 'a.safetensors', '--weights'],
      );
      assert.equal(result.code, 0, result.stderr);
      summary = JSON.parse(await readFile(at('a.json'), 'utf8')) as AnalysisJson;
    });

    it('gives mechanisms without parameters of their own the budget, and says what they spent', async () => {
      const named = 'top-k,local:window=8,snapkv,local,performer';
      const args = ['--device', 'cpu', '--mechanisms', named, '--budget', '20%', '--propagate'];
      const { code, stdout, stderr } = await run('analyze', 'text.txt', ...args, '--json', 'budget.json');
      assert.equal(code, 0, stderr);
      const { mechanisms } = JSON.parse(await readFile(at('budget.json'), 'utf8')) as AnalysisJson;
      assert.deepEqual(
        mechanisms.map(one => one.name),
        ['top-k', 'local', 'local', 'performer'],
      );
      assert.equal(mechanisms[1]!.params['window'], 8);
      for (const one of [mechanisms[0]!, mechanisms[2]!]) {
        const share = one.pairs / one.densePairs;
        assert.ok(share <= 0.2 && share > 0.17, `${one.setting} spends ${share}`);
        assert.ok(Number.isFinite(one.deltaLoss), 'propagated as the others');
      }
      assert.match(stdout, /performer: Keeps no set of pairs that a budget could choose/);
      assert.match(
        stdout,
        /^note: SnapKV has no setting that spends such a share of the pairs: the prompt is/m,
      );
      assert.match(stdout, /^local +what-if +window=\d+ +1[789](\.\d)? %/m);
    });

    it('writes JSON as its schema says', () => {
      const ajv = schemas();
      const validate = ajv.compile(schema);
      assert.ok(validate(summary), ajv.errorsText(validate.errors));
      // The check can fail: a missing measure and a recall beyond 1 are noticed.
      const bad = structuredClone(summary);
      delete (bad.layers[0]!.heads[0] as { entropy?: number }).entropy;
      bad.mechanisms[0]!.recall = 1.5;
      assert.ok(!validate(bad));
      assert.equal(validate.errors?.length, 2);
    });

    it('names by what it can be made again', async () => {
      const { folder: model } = await resolveModel('bundled');
      const inputs = { text: await readFile(at('text.txt')) };
      assertMadeFrom(summary.provenance, { model, inputs });
      const file = await openSafetensors(at('a.safetensors'));
      assert.deepEqual(JSON.parse(file.metadata['provenance']!), summary.provenance);
      await file.close();
    });

    it('has every head, sound numbers, and the mechanisms asked for', () => {
      assert.equal(summary.device, 'cpu');
      assert.ok(summary.verified.maxAbsDiff <= 1e-4);
      assert.equal(summary.layers.length, summary.model.layers);
      for (const layer of summary.layers) {
        assert.equal(layer.heads.length, summary.model.heads);
        for (const head of layer.heads) {
          assert.ok(head.entropy <= Math.log(summary.tokens));
          assert.ok(head.span90 <= head.span95 && head.span95 <= head.span99);
        }
      }
      assert.deepEqual(
        summary.mechanisms.map(({ name, scope }) => [name, scope]),
        [
          ['local', 'propagated'],
          ['strided', 'propagated'],
        ],
      );
      assert.deepEqual(summary.mechanisms[0]!.params, { window: 8 });
      for (const { deltaLoss, heads, measures } of summary.mechanisms) {
        assert.ok(Number.isFinite(deltaLoss));
        assert.ok(measures!.entmaxRecall! > 0 && measures!.kl! >= 0);
        for (const head of heads) assert.ok(head.measures!.sampled > 0);
        assert.equal(heads.length, summary.model.layers * summary.model.heads);
      }
    });

    it('prints a row per head and per mechanism', () => {
      const rows = result.stdout.split('\n').filter(line => /^ +\d+ +\d+ +\d+\.\d\d /.test(line));
      assert.equal(rows.length, summary.model.layers * summary.model.heads);
      assert.match(result.stdout, /^local +what-if +window=8 /m);
      assert.match(result.stdout, /^device +cpu$/m);
      assert.equal(result.stderr, '');
    });

    it('writes tensors that agree with each other and with the JSON', async () => {
      const file = await openSafetensors(at('a.safetensors'));
      const n = summary.tokens;
      const dims = (name: string): readonly number[] => file.entries.get(name)!.dims;
      assert.deepEqual(dims('tokens'), [n]);
      assert.equal(file.entries.get('tokens')!.dtype, 'I64');
      assert.equal(dims('logits')[0], n);
      const tokens = (await file.read('tokens')).data as BigInt64Array;
      const logits = floats(await file.read('logits'));
      const loss = floats(await file.read('loss'));
      const width = dims('logits')[1]!;
      let mean = 0;
      for (let i = 0; i + 1 < n; i++) {
        const row = logits.subarray(i * width, (i + 1) * width);
        let sum = 0;
        for (const logit of row) sum += Math.exp(logit);
        const expected = Math.log(sum) - row[Number(tokens[i + 1])]!;
        assert.ok(Math.abs(loss[i]! - expected) < 1e-4, `loss of token ${i + 1}`);
        mean += expected / (n - 1);
      }
      assert.equal(loss.length, n - 1);
      assert.ok(Math.abs(summary.loss!.mean - mean) < 1e-4);

      for (const layer of summary.layers) {
        const name = `core.${layer.core}.weights`;
        assert.deepEqual(dims(name), [layer.heads.length, n, n]);
        const weights = floats(await file.read(name));
        layer.heads.forEach((head, h) => {
          let entropy = 0;
          for (let i = 0; i < n; i++) {
            let sum = 0;
            for (let j = 0; j < n; j++) {
              const p = weights[(h * n + i) * n + j]!;
              sum += p;
              if (j > i) assert.equal(p, 0, 'causal');
              if (p > 0) entropy -= (p * Math.log(p)) / n;
            }
            assert.ok(Math.abs(sum - 1) < 1e-5);
          }
          assert.ok(Math.abs(entropy - head.entropy) < 1e-3, `entropy of core ${layer.core}, head ${h}`);
        });
      }
      await file.close();
    });

    it('reads standard input and cuts to --max-tokens, saying so', async () => {
      const cut = await runCli(cli, ['analyze', '-', '--max-tokens', '10', '--device', 'cpu'], {
        cwd: folder,
        input: `\ufeff${TEXT}`,
      });
      assert.equal(cut.code, 0, cut.stderr);
      assert.match(cut.stdout, /^text +10 tokens of \d+/m);
      assert.match(cut.stdout, /^note: Only the first 10 tokens/m);
    });

    it('replaces no file that it reads, and writes no two results into one', async () => {
      await put('own.txt', TEXT);
      await symlink('own.txt', at('link.txt'));
      const into = (...args: string[]) => run('analyze', 'own.txt', '--max-tokens', '10', ...args);
      assertFails(await into('--json', 'own.txt'), 2, /^Cannot write own\.txt: it is an input\.\n$/);
      assertFails(await into('--csv', './link.txt'), 2, /^Cannot write \.\/link\.txt: it is an input\./);
      assertFails(
        await into('--json', 'twice', '--csv', './twice'),
        2,
        /^Cannot write \.\/twice: another result is written there\.\n$/,
      );
      assertFails(
        await run('plan', 'own.txt', '--budget', '10%', '--flex', 'own.txt'),
        2,
        /^Cannot write own\.txt: it is an input\.\n$/,
      );
      assert.equal(await readFile(at('own.txt'), 'utf8'), TEXT);
    });

    it('speaks of one token as one, and of no change where nothing is predicted', async () => {
      await put('one.txt', 'a');
      const without = ['--without', 'head=0.0', '--mechanisms', 'lsh,performer', '--propagate'];
      const model = ['--model', await bareModel(folder)];
      const asked = await run('analyze', 'one.txt', '--target', 'one.txt', ...model, ...without);
      const { code, stdout, stderr } = asked;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^text +1 token$/m);
      assert.match(stdout, /^head=0\.0( +-)+$/m);
      // What keeps no pairs chooses none.
      assert.match(stdout, /^note: lsh: .* chooses its pairs by looking at the whole text\.$/m);
      assert.match(stdout, /^note: performer: .* looks at the whole text, later tokens included\.$/m);
      assert.match(stdout, /^note: The given target text is not read: /m);
    });

    it('leaves out a mechanism that the model cannot have, says why, and goes on with the others', async () => {
      await put('short.txt', 'The cat sat on the mat, and the cat slept.');
      const result = await run(
        'analyze',
        'short.txt',
        '--propagate',
        '--mechanisms',
        'continuous:basis=7,local:window=4',
        '--json',
        'left.json',
      );
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stdout, /note: Continuous \(∞-former\) is left out: .*even number/);
      const json = JSON.parse(await readFile(at('left.json'), 'utf8')) as AnalysisJson;
      assert.deepEqual(
        json.mechanisms.map(({ name, scope }) => [name, scope]),
        [['local', 'propagated']],
      );
      assert.ok(json.notes.some(note => note.startsWith('Continuous (∞-former) is left out')));
    });

    it('stops at an interrupt and leaves no files', async () => {
      await put('long.txt', TEXT.repeat(40));
      const args = [
        'analyze',
        'long.txt',
        '--device',
        'cpu',
        '--json',
        'stopped.json',
        '--tensors',
        'stopped.tensors',
      ];
      const stopped = await runCli(cli, [...args, '--weights'], {
        cwd: folder,
        onStart: (child: ChildProcess) => {
          // Once the tensors file grows, the analysis is under way.
          const timer = setInterval(async () => {
            if (!(await readdir(folder)).some(name => name.startsWith('stopped.tensors'))) return;
            clearInterval(timer);
            setTimeout(() => child.kill('SIGINT'), 500);
          }, 50);
          child.on('exit', () => clearInterval(timer));
        },
      });
      assertFails(stopped, 1, /^Cancelled\./);
      assert.deepEqual(
        (await readdir(folder)).filter(name => name.startsWith('stopped')),
        [],
      );
    });

    it('says that the disk is full', async function () {
      if (process.platform !== 'linux') return this.skip();
      const full = await run('analyze', 'text.txt', '--device', 'cpu', '--json', '/dev/full');
      assertFails(full, 1, /^Cannot write \/dev\/full: the disk is full\./);
    });
  });

  it('analyses an encoder-decoder that feeds both sides from one input', async function () {
    const bart = join(FIXTURES, 'bart-sdpa-dynamo');
    if (!existsSync(bart)) {
      console.log('      SKIPPED: no ../shared/fixtures/models beside the repository');
      return this.skip();
    }
    await put('source.txt', 't5 t6 t7 t8 t9');
    await put('target.txt', 't10 t11 t12');
    const result = await run(
      ...['analyze', 'source.txt', '--target', 'target.txt', '--model', bart, '--device', 'cpu'],
      ...['--json', 'pair.json', '--tensors', 'pair.safetensors', '--weights'],
    );
    assert.equal(result.code, 0, result.stderr);
    const summary = JSON.parse(await readFile(at('pair.json'), 'utf8')) as AnalysisJson;
    const ajv = schemas();
    assert.ok(ajv.validate(schema, summary), ajv.errorsText());
    assert.deepEqual(summary.target, { tokens: 5, source: 'text' });
    assert.ok(summary.notes.some(note => /^The text itself stands in for the target text/.test(note)));
    assert.ok(summary.notes.some(note => /^The given target text is not read: /.test(note)));
    const file = await openSafetensors(at('pair.safetensors'));
    assert.deepEqual((await file.read('target_tokens')).data, BigInt64Array.of(5n, 6n, 7n, 8n, 9n));
    assert.deepEqual(file.entries.get('logits')!.dims, [5, 512]);
    assert.deepEqual(file.entries.get('loss')!.dims, [4]);
    await file.close();
  });

  it('says when standard output cannot be written', async function () {
    if (process.platform !== 'linux') return this.skip();
    const shell = spawn('sh', ['-c', `"$0" "$1" models > /dev/full`, process.execPath, cli], { cwd: folder });
    let stderr = '';
    shell.stderr.on('data', chunk => (stderr += chunk));
    assert.equal(await new Promise(resolve => shell.on('exit', resolve)), 1);
    assert.equal(stderr, 'Cannot write to standard output: the disk is full.\n');
  });

  it('ends quietly when its reader leaves', async () => {
    await put('short.txt', 'The cat sat on the mat.');
    const shell = spawn(
      'sh',
      ['-c', `"$0" "$1" analyze short.txt --device cpu | head -c 5`, process.execPath, cli],
      {
        cwd: folder,
      },
    );
    let stderr = '';
    shell.stderr.on('data', chunk => (stderr += chunk));
    assert.equal(await new Promise(resolve => shell.on('exit', resolve)), 0);
    assert.equal(stderr, '');
  });
});
