/** Tokenizers and configurations as an attacker would write them. */
import * as definitions from '../fixtures/tokenizers';
import { changeJson } from './json';
import { below, oneOf, type Random } from './random';

type Loose = Record<string, unknown>;

const PATTERNS = [
  '(a+)+$',
  '(x+x+)+y',
  '(?:(?:.)*)*$',
  '(z|zz)+\\d',
  '\\p{L}{1,9999}',
  '(?<=.*)a',
  '(?=.)',
  '',
  '^',
  '\\b',
  '(((((.{1,99}){1,99}){1,99}){1,99}){1,99})',
  '(?i)ſ',
  '[',
  '\\1(a)',
  'a{1000000000}',
  '.{0,65535}',
];
const IDS = [0, -1, 0.5, 511, 512, 513, 2 ** 16, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e300];

export function attackTokenizer(random: Random): string {
  const all: Loose[] = Object.values(definitions) as never;
  const definition = structuredClone(oneOf(random, all)) as Loose & { model: Loose };
  for (let times = 1 + below(random, 2); times > 0; times--) oneOf(random, attacks)(definition, random);
  const changed = random() < 0.3 ? changeJson(definition, random) : definition;
  // What JSON.stringify cannot say: numbers without end, names that come twice.
  const text = JSON.stringify(changed);
  if (random() < 0.05) return text.replace(/:(\d+)/, ':1e999');
  if (random() < 0.05) return text.replace('{', '{"model":null,');
  return text;
}

const attacks: ((definition: Loose & { model: Loose }, random: Random) => void)[] = [
  (d, random) => (d.normalizer = normalizer(random)),
  (d, random) =>
    (d.normalizer = { type: 'Sequence', normalizers: repeated(random, () => normalizer(random)) }),
  (d, random) => (d.pre_tokenizer = splitter(random)),
  (d, random) =>
    (d.pre_tokenizer = { type: 'Sequence', pretokenizers: repeated(random, () => splitter(random)) }),
  (d, random) => (d.post_processor = processor(random)),
  (d, random) => (d.decoder = { type: oneOf(random, ['ByteFallback', 'Fuse', 'CTC', 'Strip', 'Sequence']) }),
  // ------------------------------------------------------------ the model
  (d, random) => {
    const vocab = d.model.vocab as Loose;
    const words = Object.keys(vocab);
    for (const word of [oneOf(random, words), oneOf(random, words)]) vocab[word] = oneOf(random, IDS);
  },
  (d, random) => {
    const { vocab } = d.model;
    // An attack before may have put a number in the place of a word and its score.
    const words = Array.isArray(vocab)
      ? vocab.map((entry: unknown) => String(Array.isArray(entry) ? entry[0] : entry))
      : Object.keys(vocab as Loose);
    const byWord = Object.fromEntries(words.map((word, id) => [word, id]));
    const scored = words.map(word => [word, oneOf(random, [0, -1, -1e300, 1e300, -0.5])]);
    const pairs = repeated(random, () => `${oneOf(random, words)} ${oneOf(random, words)}`);
    d.model = oneOf<Loose>(random, [
      { type: 'WordLevel', vocab: byWord, unk_token: oneOf(random, [words[0], 'nowhere', null]) },
      {
        type: 'BPE',
        vocab: byWord,
        merges: pairs,
        unk_token: null,
        dropout: oneOf(random, [0, 0.5, 1, 1.5, null]),
      },
      { type: 'BPE', vocab: byWord, merges: [], byte_fallback: true, fuse_unk: true, ignore_merges: true },
      {
        type: 'BPE',
        vocab: byWord,
        merges: [
          ['a', 'b'],
          ['ab', 'ab'],
          ['abab', 'a'],
        ],
        end_of_word_suffix: 'x'.repeat(1000),
      },
      {
        type: 'Unigram',
        vocab: scored,
        unk_id: oneOf(random, [0, 1, null, ...IDS]),
        byte_fallback: random() < 0.5,
      },
      {
        type: 'WordPiece',
        vocab: byWord,
        unk_token: words[0],
        continuing_subword_prefix: oneOf(random, ['', '##', 'x'.repeat(5000)]),
        max_input_chars_per_word: oneOf(random, IDS),
      },
    ]);
  },
  (d, random) => {
    const size = oneOf(random, [10, 1000, 100_000]);
    const words = Array.from({ length: size }, (_, i) => [`w${i % 7919}${'y'.repeat(i % 50)}`, i]);
    d.model = { type: 'WordLevel', vocab: Object.fromEntries(words) as Loose, unk_token: 'w0' };
  },
  // ------------------------------------------------------------ around it
  (d, random) =>
    (d.added_tokens = repeated(random, () => ({
      id: oneOf(random, IDS),
      content: oneOf(random, [
        '',
        ' ',
        't1',
        'z',
        '\u0000',
        '\ud800',
        '😀'.repeat(2000),
        'x'.repeat(10_000),
        '<s>',
      ]),
      single_word: random() < 0.5,
      lstrip: random() < 0.5,
      rstrip: random() < 0.5,
      normalized: random() < 0.5,
      special: random() < 0.5,
    }))),
  (d, random) =>
    (d.truncation = {
      direction: oneOf(random, ['Left', 'Right', 'Up']),
      max_length: oneOf(random, IDS),
      strategy: 'LongestFirst',
      stride: oneOf(random, IDS),
    }),
  (d, random) =>
    (d.padding = {
      strategy: oneOf<unknown>(random, ['BatchLongest', { Fixed: oneOf(random, IDS) }]),
      direction: 'Right',
      pad_to_multiple_of: oneOf(random, [null, ...IDS]),
      pad_id: oneOf(random, IDS),
      pad_type_id: 0,
      pad_token: 'x'.repeat(oneOf(random, [1, 100_000])),
    }),
  (d, random) => (d.version = oneOf<unknown>(random, ['2.0', 1, null, 'x'.repeat(1e5)])),
];

function normalizer(random: Random): Loose {
  return oneOf<Loose>(random, [
    {
      type: 'Replace',
      pattern: { Regex: oneOf(random, PATTERNS) },
      content: oneOf(random, ['', 'zz', 'x'.repeat(999)]),
    },
    { type: 'Replace', pattern: { String: oneOf(random, ['z', '', ' ', 't']) }, content: 'zzzz' },
    { type: 'Prepend', prepend: 'z'.repeat(oneOf(random, [1, 1000, 100_000])) },
    {
      type: 'Precompiled',
      precompiled_charsmap: Buffer.from(
        Array.from({ length: below(random, 200) }, () => below(random, 256)),
      ).toString('base64'),
    },
    { type: oneOf(random, ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'Nmt', 'ByteLevel']) },
    { type: 'Strip', strip_left: true, strip_right: true },
    {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: 1,
    },
  ]);
}

function splitter(random: Random): Loose {
  const behavior = oneOf(random, [
    'Removed',
    'Isolated',
    'MergedWithPrevious',
    'MergedWithNext',
    'Contiguous',
    'Else',
  ]);
  return oneOf<Loose>(random, [
    { type: 'Split', pattern: { Regex: oneOf(random, PATTERNS) }, behavior, invert: random() < 0.5 },
    { type: 'Split', pattern: { String: oneOf(random, ['', ' ', 'z']) }, behavior, invert: random() < 0.5 },
    {
      type: 'Metaspace',
      replacement: oneOf(random, ['▁', '', 'xx']),
      prepend_scheme: oneOf(random, ['always', 'never', 'first', 'x']),
    },
    {
      type: 'ByteLevel',
      add_prefix_space: random() < 0.5,
      trim_offsets: random() < 0.5,
      use_regex: random() < 0.5,
    },
    { type: 'FixedLength', length: oneOf(random, IDS) },
    { type: 'Punctuation', behavior },
    { type: 'CharDelimiterSplit', delimiter: oneOf(random, ['', ' ', 'zz']) },
    {
      type: oneOf(random, ['Whitespace', 'WhitespaceSplit', 'Digits', 'UnicodeScripts', 'BertPreTokenizer']),
    },
  ]);
}

function processor(random: Random): Loose {
  const piece = () =>
    oneOf<Loose>(random, [
      { Sequence: { id: oneOf(random, ['A', 'B', 'C']), type_id: oneOf(random, IDS) } },
      { SpecialToken: { id: oneOf(random, ['s', 'nowhere', '']), type_id: 0 } },
    ]);
  return oneOf<Loose>(random, [
    {
      type: 'TemplateProcessing',
      single: repeated(random, piece),
      pair: repeated(random, piece),
      special_tokens: {
        s: { id: 's', ids: [oneOf(random, IDS)], tokens: oneOf(random, [['s'], [], ['a', 'b']]) },
      },
    },
    {
      type: 'RobertaProcessing',
      sep: ['s', oneOf(random, IDS)],
      cls: ['c', oneOf(random, IDS)],
      trim_offsets: true,
      add_prefix_space: true,
    },
    { type: 'BertProcessing', sep: ['', oneOf(random, IDS)], cls: ['c'] },
    { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    { type: 'Sequence', processors: repeated(random, () => ({ type: 'ByteLevel', trim_offsets: true })) },
  ]);
}

/** One, some or many. */
function repeated<T>(random: Random, one: () => T): T[] {
  return Array.from({ length: oneOf(random, [0, 1, 2, 20, 1000]) }, one);
}

/** Files that make a tokenizer where there is no tokenizer.json. */
export function attackVocabulary(random: Random): Record<string, string> {
  const word = () =>
    oneOf(random, ['[UNK]', '##a', 't1', '', ' ', 'z', '\u0000', 'x'.repeat(9999), '<s>', 'Ġt']);
  const lines = () => repeated(random, word).join(oneOf(random, ['\n', '\r\n', '\r', '\n\n']));
  const ids = Object.fromEntries(repeated(random, word).map((each, i) => [each, oneOf(random, [i, ...IDS])]));
  return oneOf<Record<string, string>>(random, [
    { 'vocab.txt': lines() },
    { 'vocab.json': JSON.stringify(ids), 'merges.txt': lines() },
    { 'vocab.json': '[]', 'merges.txt': '#version: 0.2\na b\nb' },
    {
      'vocab.txt': lines(),
      'tokenizer_config.json': JSON.stringify({ tokenizer_class: word(), do_lower_case: 7, unk_token: [] }),
    },
  ]);
}

const KEYS =
  'vocab_size model_type num_hidden_layers n_layer num_attention_heads n_head num_key_value_heads hidden_size head_dim max_position_embeddings ' +
  'n_positions sliding_window rope_theta rope_scaling eos_token_id bos_token_id pad_token_id decoder_start_token_id is_encoder_decoder ' +
  'tie_word_embeddings architectures auto_map quantization_config text_config layer_types attention_chunk_size use_cache torch_dtype __proto__ toString';

export function attackConfig(config: unknown, random: Random): string {
  const changes = repeated(random, () => [
    oneOf(random, KEYS.split(' ')),
    oneOf<unknown>(random, [
      ...IDS,
      '',
      'gpt2',
      '../x',
      null,
      [],
      {},
      [[]],
      { type: 'yarn', factor: 1e300 },
      true,
      'x'.repeat(9999),
    ]),
  ]);
  return JSON.stringify({ ...(config as Loose), ...(Object.fromEntries(changes.slice(0, 40)) as Loose) });
}

/** An attention.json about the tensors of a graph. */
export function attackDeclaration(names: readonly string[], random: Random): string {
  const name = () => (random() < 0.9 ? oneOf(random, names) : oneOf(random, ['', '__proto__', 'nowhere']));
  const number = () => oneOf<unknown>(random, [...IDS, 'x', null, true, [1e300]]);
  const mechanism =
    'entmax routing lsh adaptive-span shaped transformer-xl topk local dense nowhere __proto__ constructor'.split(
      ' ',
    );
  const keys =
    'alpha clusters window span ramp buckets rounds beta gamma k centroids localHeads localWindow constructor'.split(
      ' ',
    );
  const core = () => ({
    mechanism: oneOf(random, mechanism),
    ...{ q: name(), k: name(), v: name(), context: name() },
    params: Object.fromEntries(keys.filter(() => random() < 0.2).map(key => [key, number()])),
    tensors: Object.fromEntries(
      keys
        .filter(() => random() < 0.2)
        .map(key => [
          key,
          oneOf<unknown>(random, [name(), [1, 2], Array.from({ length: 1e4 }, () => 1e30), []]),
        ]),
    ),
    ...(random() < 0.3 && { causal: number() }),
    ...(random() < 0.3 && { scale: number() }),
    ...(random() < 0.3 && { turnedKeys: random() < 0.5 }),
  });
  return JSON.stringify({ cores: repeated(random, core).slice(0, 50) });
}
