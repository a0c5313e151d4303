import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Tokenizer as Native } from 'tokenizers';
import { RefusedError } from '../../engine/errors';
import { joinedBytes } from '../../engine/model/tokens/byteTokens';
import { tokenMarks, codePointOffsets, readableToken } from '../../engine/model/tokens/text';
import { checkTokensFit, loadTokenizer, type Tokenizer } from '../../engine/model/tokens/tokenizer';
import { TOKENIZER_LIMITS } from '../../engine/model/tokens/tokenizerChild';
import type { TokenTable } from '../../shared/protocol/engine';
import * as definitions from '../fixtures/tokenizers';
import { bareTokenizer } from '../support/bareModel';

const BUNDLED = join(__dirname, '../../engine/bundled/prose-2m');
const FIXTURES = join(__dirname, '../../../shared/fixtures/models');

/** Characters of one and two UTF-16 units, of one to four bytes, joined, combined and right to left. */
const HARD_TEXTS: Record<string, string> = {
  ascii: 'The cat sat on the mat, and it purred.\n\nThen it left.\n',
  crlf: 'one\r\ntwo\r\n\r\nthree\r\n',
  emoji: 'so 😀😀 good 👩‍👩‍👧‍👦 and 🏳️‍🌈!',
  combining: 'cafe\u0301 na\u0308ive \u1e9b\u0323 Z\u0351\u036b\u0343algo',
  precomposed: 'café naïve Ångström ﬁne ½',
  hebrew: 'he said שלום עולם and left',
  arabic: 'كتب الطالب الدرسَ',
  cjk: '我喜欢看书。日本語のテキスト、한국어',
  astral: '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀𒀁 x',
  odd: 'a\u0000b \ufeff c\u200bd \ud83d lone',
  code: 'const x = (a, b) => a + b; // ✓ done\n\treturn x;\n',
};

/** What every token table must satisfy, whatever the tokenizer. */
function checkTable(tokens: TokenTable, text: string): void {
  const n = tokens.ids.length;
  assert.ok(n > 0);
  for (const part of [tokens.start, tokens.end, tokens.text, tokens.special]) assert.equal(part.length, n);
  let furthest = 0;
  for (let i = 0; i < n; i++) {
    const [start, end] = [tokens.start[i]!, tokens.end[i]!];
    assert.ok(0 <= start && start <= end && end <= text.length, `range ${start}..${end} of token ${i}`);
    if (tokens.special[i]) {
      assert.equal(start, end, 'special tokens have no range');
      continue;
    }
    assert.ok(start < end, `token ${i} ${JSON.stringify(tokens.text[i])} has a range`);
    for (const offset of [start, end]) {
      const inside =
        /[\ud800-\udbff]/.test(text[offset - 1] ?? '') && /[\udc00-\udfff]/.test(text[offset] ?? '');
      assert.ok(!inside, `token ${i} does not split a surrogate pair`);
    }
    assert.ok(end >= furthest, `token ${i} does not go back`);
    furthest = end;
  }
}

/** The text that no token covers must be white space (or characters that the normaliser drops). */
function uncovered(tokens: TokenTable, text: string): string {
  const covered = new Uint8Array(text.length);
  for (let i = 0; i < tokens.ids.length; i++) covered.fill(1, tokens.start[i], tokens.end[i]);
  return [...text].length
    ? Array.from(text, (_, i) => i)
        .filter(i => !covered[i])
        .map(i => text[i])
        .join('')
    : '';
}

describe('tokenizer', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
  });
  after(() => rm(folder, { recursive: true }));

  const loaded: Tokenizer[] = [];
  afterEach(() => loaded.splice(0).forEach(tokenizer => tokenizer.dispose()));

  async function load(definition: object): Promise<Tokenizer> {
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition));
    loaded.push(await loadTokenizer(folder));
    return loaded.at(-1)!;
  }

  describe('bundled byte-level BPE', () => {
    let tokenizer: Tokenizer;
    before(async () => {
      tokenizer = await loadTokenizer(BUNDLED);
    });

    for (const [name, text] of Object.entries(HARD_TEXTS)) {
      it(`covers every character: ${name}`, async () => {
        const tokens = await tokenizer.encode(text, null);
        checkTable(tokens, text);
        assert.equal(uncovered(tokens, text), '');
        assert.equal(tokens.total, tokens.ids.length);
        assert.deepEqual(
          [...tokens.special.keys()].filter(i => tokens.special[i]),
          [0],
        );
        // Tokens that are whole characters read as the very text they stand for.
        for (let i = 1; i < tokens.ids.length; i++) {
          const slice = text.slice(tokens.start[i], tokens.end[i]);
          if (!/<0x| \(\d\/\d\)$/.test(tokens.text[i]!) && !/\p{Surrogate}/u.test(slice)) {
            assert.equal(tokens.text[i], slice);
          }
        }
      });
    }

    it("gives the bytes of one character that character's range", async () => {
      const text = 'a 😀 b';
      const tokens = await tokenizer.encode(text, null);
      const bytes = tokens.text
        .map((t, i) => [t, tokens.start[i], tokens.end[i]])
        .filter(([t]) => String(t).startsWith('😀'));
      assert.ok(bytes.length > 1, 'the smiley is several tokens');
      assert.deepEqual(
        bytes.map(([t]) => t),
        bytes.map((_, i) => `😀 (${i + 1}/${bytes.length})`),
      );
      for (const [, start, end] of bytes) assert.deepEqual([start, end], [2, 4]);
    });

    it('keeps to a limit and counts all tokens', async () => {
      const text = HARD_TEXTS.ascii!.repeat(100);
      const all = await tokenizer.encode(text, null);
      const cut = await tokenizer.encode(text, 50);
      assert.equal(cut.ids.length, 50);
      assert.equal(cut.total, all.ids.length);
      assert.equal(cut.estimated, undefined);
      assert.deepEqual(cut.ids, all.ids.slice(0, 50));
      assert.deepEqual(cut.end, all.end.slice(0, 50));
    });

    it('tokenises only the beginning of 50 MB, and says that the total is an estimate', async function () {
      this.timeout(30_000);
      const text = HARD_TEXTS.ascii!.repeat(50e6 / HARD_TEXTS.ascii!.length);
      const before = process.memoryUsage.rss();
      const tokens = await tokenizer.encode(text, 2048);
      const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
      assert.equal(tokens.ids.length, 2048);
      assert.equal(tokens.estimated, true);
      const small = await tokenizer.encode(text.slice(0, 100_000), 2048);
      assert.deepEqual(tokens.ids, small.ids);
      const exact = (small.total / 100_000) * text.length;
      assert.ok(Math.abs(tokens.total - exact) < exact * 0.01, `${tokens.total} is near ${exact}`);
      assert.ok(grown < 400, `memory grew by ${grown} MiB`);
    });

    it('takes one line of 200,000 and of 5,000,000 characters', async function () {
      this.timeout(30_000);
      const line = await tokenizer.encode('x'.repeat(200_000), 1024);
      checkTable(line, 'x'.repeat(200_000));
      assert.equal(line.ids.length, 1024);
      const longer = await tokenizer.encode('x'.repeat(5_000_000), 1024);
      assert.deepEqual(longer.ids, line.ids);
      assert.equal(longer.estimated, true);
    });

    it('refuses an empty text', async () => {
      await assert.rejects(tokenizer.encode('', null), {
        name: 'RefusedError',
        message: 'The text is empty.',
      });
    });

    it('tells separators and punctuation', async () => {
      const tokens = await tokenizer.encode('Yes, it is.\n\n"No!" <|endoftext|> x', null);
      const { separator, punctuation } = tokenMarks(tokens);
      const names = (mask: Uint8Array): string[] => tokens.text.filter((_, i) => mask[i]);
      assert.ok(names(separator).includes('\n'), names(separator).join('|'));
      assert.ok(names(separator).includes('<|endoftext|>'));
      assert.ok(names(punctuation).includes(','));
      assert.ok(
        names(punctuation).every(t => /^\s*\p{P}+$/u.test(t)),
        names(punctuation).join('|'),
      );
      assert.ok(!names(punctuation).some(t => /\w/.test(t)));
    });
  });

  for (const [name, definition] of Object.entries(definitions)) {
    describe(`${name} (generated)`, () => {
      for (const [kind, text] of Object.entries(HARD_TEXTS)) {
        it(`has proper ranges: ${kind}`, async () => {
          const tokens = await (await load(definition)).encode(text, null);
          checkTable(tokens, text);
          const missing = uncovered(tokens, text).replace(/[\s\p{C}\p{M}\ufeff\ud83d]/gu, '');
          assert.equal(missing, '');
        });
      }

      it('gives the same tokens in pieces as at once', async function () {
        this.timeout(30_000);
        const tokenizer = await load(definition);
        const base = Object.values(HARD_TEXTS)
          .filter(text => text !== HARD_TEXTS.odd)
          .join(' \n');
        const long = base.repeat(Math.ceil(260_000 / base.length));
        const direct = Native.fromString(JSON.stringify(definition));
        const whole = (await direct.encode(long, null, { addSpecialTokens: false })).getIds();
        const tokens = await tokenizer.encode(long, 20_000);
        assert.equal(tokens.ids.length, 20_000);
        assert.equal(tokens.estimated, true);
        const content = [...tokens.ids].filter((_, i) => !tokens.special[i]);
        assert.deepEqual(content, whole.slice(0, content.length));
      });
    });
  }

  it('marks the special tokens that the model adds, and keeps them when cutting', async () => {
    const tokenizer = await load(definitions.wordPiece);
    const text = 'the cat sat on the mat';
    const tokens = await tokenizer.encode(text, null);
    assert.deepEqual(tokens.text, ['[CLS]', 'the', 'cat', 'sat', 'on', 'the', 'mat', '[SEP]']);
    assert.deepEqual([...tokens.special], [1, 0, 0, 0, 0, 0, 0, 1]);
    assert.deepEqual([tokens.start[7], tokens.end[7]], [text.length, text.length]);
    const cut = await tokenizer.encode(text, 4);
    assert.deepEqual(cut.text, ['[CLS]', 'the', 'cat', '[SEP]']);
    assert.deepEqual([...cut.end], [0, 3, 7, 7]);
    assert.equal(cut.total, 8);
    assert.deepEqual([...tokenMarks(cut).separator], [1, 0, 0, 1]);
  });

  it('refuses to read a text between thousands of special tokens', async () => {
    const { post_processor: _, ...definition } = definitions.wordPiece;
    const added = Array.from({ length: 5000 }, () => ({ SpecialToken: { id: '[CLS]', type_id: 0 } }));
    const post_processor = {
      type: 'TemplateProcessing',
      single: [...added, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] } },
    };
    const tokenizer = await load({ ...definition, post_processor });
    await assert.rejects(
      tokenizer.encode('the cat', null),
      /^RefusedError: The tokenizer puts 5000 special tokens around each text\.$/,
    );
    tokenizer.dispose();
  });

  it('is not fooled by truncation and padding stored in the file', async () => {
    const tokenizer = await load({
      ...definitions.wordPiece,
      truncation: { direction: 'Right', max_length: 3, strategy: 'LongestFirst', stride: 0 },
      padding: {
        strategy: { Fixed: 128 },
        direction: 'Right',
        pad_to_multiple_of: null,
        pad_id: 0,
        pad_type_id: 0,
        pad_token: '[PAD]',
      },
    });
    assert.equal((await tokenizer.encode('the cat sat on the mat', null)).ids.length, 8);
  });

  it('gives each byte of a run of unknown characters its own character', async () => {
    const text = 'the 😀é x';
    for (const definition of [definitions.unigram, definitions.byteFallback]) {
      const tokens = await (await load(definition)).encode(text, null);
      const bytes = tokens.text.flatMap((t, i) =>
        / \(\d\/\d\)$/.test(t) ? [[tokens.start[i], tokens.end[i]]] : [],
      );
      assert.deepEqual(bytes, [...Array(4).fill([4, 6]), ...Array(2).fill([6, 7])]);
    }
    // A normaliser that changes the characters: then the run keeps its range.
    const composed = await (await load(definitions.unigram)).encode('the ﬁé', null);
    assert.ok(composed.end.at(-2)! === 6);
  });

  it('maps normalised text back to the original characters', async () => {
    const text = 'CAFÉ ﬁne';
    const tokens = await (await load(definitions.wordPiece)).encode(text, null);
    const pieces = [...tokens.ids].map((_, i) => text.slice(tokens.start[i], tokens.end[i]));
    assert.equal(pieces.join(''), 'CAFÉﬁne');
  });

  it('builds WordPiece from vocab.txt as from tokenizer.json', async () => {
    const expected = await (await load(definitions.wordPiece)).encode(HARD_TEXTS.ascii!, null);
    const other = await mkdtemp(join(folder, 'vocab-'));
    const vocab = Object.entries(definitions.wordPiece.model.vocab).sort((a, b) => a[1] - b[1]);
    await writeFile(join(other, 'vocab.txt'), vocab.map(([token]) => token).join('\n') + '\n');
    assert.deepEqual(await (await loadTokenizer(other)).encode(HARD_TEXTS.ascii!, null), expected);
    await writeFile(join(other, 'tokenizer_config.json'), '{"do_lower_case": false}');
    const cased = await (await loadTokenizer(other)).encode('The cat', null);
    assert.notDeepEqual(cased.ids, (await (await load(definitions.wordPiece)).encode('The cat', null)).ids);
  });

  it('builds byte-level BPE from vocab.json and merges.txt as from tokenizer.json', async () => {
    const whole = JSON.parse(await readFile(join(BUNDLED, 'tokenizer.json'), 'utf8'));
    const other = await mkdtemp(join(folder, 'merges-'));
    await writeFile(join(other, 'vocab.json'), JSON.stringify(whole.model.vocab));
    const merges = whole.model.merges.map((rule: string | string[]) =>
      typeof rule === 'string' ? rule : rule.join(' '),
    );
    await writeFile(join(other, 'merges.txt'), ['#version: 0.2', ...merges].join('\n') + '\n');
    // Vocabulary files say nothing of a token before the text.
    const [ours, theirs] = [await loadTokenizer(other), await load(JSON.parse(bareTokenizer(BUNDLED)))];
    for (const text of [...Object.values(HARD_TEXTS), 'a <|endoftext|> b']) {
      assert.deepEqual(await ours.encode(text, null), await theirs.encode(text, null));
    }
  });

  it('refuses vocabulary files of tokenizers that split in ways of their own', async () => {
    const other = await mkdtemp(join(folder, 'qwen-'));
    await writeFile(join(other, 'vocab.json'), '{"a": 0}');
    await writeFile(join(other, 'merges.txt'), '#version: 0.2\n');
    await writeFile(join(other, 'tokenizer_config.json'), '{"tokenizer_class": "Qwen2Tokenizer"}');
    await assert.rejects(
      loadTokenizer(other),
      /^RefusedError: The vocabulary files of a Qwen2Tokenizer .* tokenizer\.json is needed\.$/,
    );
  });

  it("encodes the fixtures' texts to the expected ids", async function () {
    if (!existsSync(FIXTURES)) {
      console.log('      SKIPPED: no ../shared/fixtures/models beside the repository');
      return this.skip();
    }
    for (const name of readdirSync(FIXTURES)) {
      const text = await readFile(join(FIXTURES, name, 'text.txt'), 'utf8');
      const tokens = await (await loadTokenizer(join(FIXTURES, name))).encode(text, null);
      checkTable(tokens, text);
      assert.deepEqual(tokens.text, text.trim().split(/\s+/));
      assert.deepEqual(
        [...tokens.ids],
        tokens.text.map(token => Number(token.slice(1))),
      );
    }
  });

  it('refuses ids that the model does not know', async () => {
    const tokens = await (await loadTokenizer(BUNDLED)).encode('some text', null);
    checkTokensFit(tokens, 4096);
    checkTokensFit(tokens, null);
    assert.throws(
      () => checkTokensFit(tokens, 100),
      (error: Error) => {
        assert.ok(error instanceof RefusedError);
        return /^The tokenizer does not match the model: token "some" has id \d+, and the model knows ids up to 99\.$/.test(
          error.message,
        );
      },
    );
  });

  it('refuses definitions that end the process of the library', async () => {
    const template = structuredClone(definitions.unigram);
    Object.assign(template.post_processor, { special_tokens: {} });
    const prefix = structuredClone(definitions.byteFallback);
    Object.assign(prefix.model, { continuing_subword_prefix: '######' });
    for (const fatal of [template, prefix]) {
      await assert.rejects(
        load(fatal),
        /^RefusedError: The tokenizer .* its definition breaks the tokenizers library\.$/,
      );
    }
  });

  describe('of unknown origin, in a child', () => {
    const limits = { ...TOKENIZER_LIMITS };
    afterEach(() => Object.assign(TOKENIZER_LIMITS, limits));

    /** A definition that makes 2^40 letters of one z. */
    const doubling = {
      ...structuredClone(definitions.unigram),
      normalizer: {
        type: 'Sequence',
        normalizers: Array.from({ length: 40 }, (_, i) => ({
          type: 'Replace',
          pattern: { String: i % 2 ? 'y' : 'z' },
          content: i % 2 ? 'zz' : 'yy',
        })),
      },
    };

    it('refuses a text on which the library fails, and reads the next one', async () => {
      const definition = structuredClone(definitions.unigram);
      Object.assign(definition, {
        pre_tokenizer: {
          type: 'Split',
          pattern: { Regex: '(z+z+)+y' },
          behavior: 'Isolated',
          invert: false,
        },
      });
      const tokenizer = await load(definition);
      await assert.rejects(
        tokenizer.encode('z'.repeat(40), null),
        /^RefusedError: The tokenizer .* cannot read this text: it breaks the tokenizers library\.$/,
      );
      assert.ok((await tokenizer.encode('the cat', null)).ids.length > 0);
    });

    it('refuses a text that grows without bounds', async () => {
      TOKENIZER_LIMITS.bytes = 250 * 2 ** 20;
      const tokenizer = await load(doubling);
      await assert.rejects(
        tokenizer.encode('zz', null),
        /^RefusedError: The tokenizer .* cannot read this text: it takes more than 250 MiB in the tokenizers library\.$/,
      );
      assert.ok((await tokenizer.encode('the cat', null)).ids.length > 0);
    });

    it('refuses a text that takes for ever', async () => {
      const tokenizer = await load(doubling);
      TOKENIZER_LIMITS.milliseconds = 200;
      await assert.rejects(
        tokenizer.encode('zz', null),
        /^RefusedError: The tokenizer .* cannot read this text: it hangs the tokenizers library\.$/,
      );
    });

    (process.platform === 'linux' ? it : it.skip)(
      'ends with the process that asked for it, even within a text',
      async () => {
        const path = join(await mkdtemp(join(folder, 'parent-')), 'tokenizer.json');
        await writeFile(path, JSON.stringify(doubling));
        const program = `
        const { loadTokenizer } = require(${JSON.stringify(join(__dirname, '../../engine/model/tokens/tokenizer.ts'))});
        loadTokenizer(${JSON.stringify(dirname(path))}).then(tokenizer => {
          tokenizer.encode('zz', null).catch(() => undefined);
          setTimeout(() => console.log('asked'), 300);
        });`;
        const parent = spawn(process.execPath, ['--import', 'tsx', '-e', program], {
          cwd: join(__dirname, '../..'),
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await once(parent.stdout, 'data');
        const listed = await readFile(`/proc/${parent.pid}/task/${parent.pid}/children`, 'utf8');
        const children = listed.trim().split(' ').map(Number);
        assert.ok(children.length > 0 && children.every(pid => pid > 0));
        parent.kill('SIGKILL');
        for (let tries = 0; children.some(isAlive); tries++) {
          assert.ok(tries < 100, 'a child lives on');
          await delay(50);
        }
      },
    );
  });

  it('refuses broken and missing tokenizers with one sentence', async () => {
    const empty = await mkdtemp(join(folder, 'empty-'));
    await assert.rejects(
      loadTokenizer(empty),
      /^RefusedError: No tokenizer in .*: tokenizer\.json, vocab\.txt/,
    );
    const good = await readFile(join(BUNDLED, 'tokenizer.json'), 'utf8');
    for (const bad of [
      '',
      '{}',
      '[]',
      'text',
      '{"model": {"type": "BPE"}}',
      good.slice(0, good.length / 2),
    ]) {
      await writeFile(join(empty, 'tokenizer.json'), bad);
      await assert.rejects(loadTokenizer(empty), (error: Error) => {
        assert.ok(error instanceof RefusedError, String(error));
        assert.match(error.message, /^The tokenizer .* cannot be read: .*\.$/);
        assert.ok(!error.message.includes('\n'));
        return true;
      });
    }
  });
});

/** Zombies of others count as ended. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('text', () => {
  it('maps code points to UTF-16', () => {
    assert.equal(codePointOffsets('abcé'), null);
    assert.deepEqual([...codePointOffsets('a😀b')!], [0, 1, 3, 4]);
    assert.deepEqual([...codePointOffsets('\ud83d😀')!], [0, 1, 3]);
  });

  it('makes tokens readable', () => {
    assert.equal(readableToken('Ġhello', 'byte-level'), ' hello');
    assert.equal(readableToken('ĊĊ', 'byte-level'), '\n\n');
    assert.equal(readableToken('Ã©', 'byte-level'), 'é');
    assert.equal(readableToken('aðŁĺ', 'byte-level'), 'a<0xF0><0x9F><0x98>');
    assert.equal(readableToken('<|endoftext|>', 'byte-level'), '<|endoftext|>');
    assert.equal(readableToken('▁hello▁', 'metaspace'), ' hello ');
    assert.equal(readableToken('##ing', 'plain'), '##ing');
    assert.equal(readableToken('##ing', 'word-pieces'), 'ing');
    assert.equal(readableToken('##', 'word-pieces'), '##');
    assert.equal(readableToken('the</w>', 'word-ends'), 'the');
  });

  it('joins the bytes of a character', () => {
    const bytes = ['a', '<0xE5>', '<0x8F>', '<0xB0>', '<0xE5>', '<0xF0><0x9F>', '<0x98><0x80>', 'b'];
    assert.deepEqual(joinedBytes(bytes), [
      'a',
      '台 (1/3)',
      '台 (2/3)',
      '台 (3/3)',
      '<0xE5>',
      '😀 (1/2)',
      '😀 (2/2)',
      'b',
    ]);
    assert.deepEqual(joinedBytes(['<0x41>', '<0x8F>']), ['A', '<0x8F>']);
  });
});
