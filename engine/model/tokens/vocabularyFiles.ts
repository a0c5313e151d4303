/**
 * Tokenizers of models that come without `tokenizer.json`: the older vocabulary files, rewritten as the definition
 * that the tokenizers library reads.
 */

import { RefusedError, told } from '../../errors';

type Config = Record<string, unknown>;

const WORDPIECE =
  /^(Bert|DistilBert|Electra|MobileBert|ConvBert|LayoutLM|SqueezeBert|MPNet)Tokenizer(Fast)?$/;
const BYTE_LEVEL = /^(GPT2|Roberta|Bart|Longformer|LED)Tokenizer(Fast)?$/;

/**
 * Which kind the configuration's `tokenizer_class` asks for; null when it names none. Other classes split texts in ways of
 * their own, so that guessing would give wrong ids.
 * @throws RefusedError for a class that the vocabulary files do not describe.
 */
export function vocabularyKind(config: Config): 'wordpiece' | 'byte-level' | null {
  const name = config.tokenizer_class;
  if (typeof name !== 'string' || name === 'PreTrainedTokenizerFast') return null;
  if (WORDPIECE.test(name)) return 'wordpiece';
  if (BYTE_LEVEL.test(name)) return 'byte-level';
  throw new RefusedError(
    told`The vocabulary files of a ${name} do not say how it splits texts: its tokenizer.json is needed.`,
  );
}

/** BERT's `vocab.txt`: one token per line, the line number is its id. */
export function wordPieceJson(vocabulary: string, config: Config): string {
  const lines = vocabulary.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  const vocab = new Map(lines.map((token, id) => [token, id]));
  const name = (key: string, fallback: string): string => tokenName(config[key]) ?? fallback;
  const [unk, cls, sep] = [
    name('unk_token', '[UNK]'),
    name('cls_token', '[CLS]'),
    name('sep_token', '[SEP]'),
  ];
  const specials = [unk, cls, sep, name('pad_token', '[PAD]'), name('mask_token', '[MASK]')];
  const lowercase = config.do_lower_case !== false;
  return JSON.stringify({
    version: '1.0',
    added_tokens: addedTokens(specials, vocab),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: typeof config.strip_accents === 'boolean' ? config.strip_accents : null,
      lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: vocab.has(cls) && vocab.has(sep) ? around('BertProcessing', cls, sep, vocab) : null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unk,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  });
}

/** GPT-2's `vocab.json` and `merges.txt`; with `<s>` and `</s>` in the vocabulary and a cls token: RoBERTa's. */
export function byteLevelJson(vocabulary: Record<string, unknown>, merges: string, config: Config): string {
  const vocab = new Map(
    Object.entries(vocabulary).filter((entry): entry is [string, number] => Number.isInteger(entry[1])),
  );
  const rules = merges
    .split(/\r?\n/)
    .filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')))
    .map(line => line.split(' '));
  const specials = [
    'bos_token',
    'eos_token',
    'unk_token',
    'sep_token',
    'pad_token',
    'cls_token',
    'mask_token',
  ]
    .map(key => tokenName(config[key]))
    .concat('<|endoftext|>', '<s>', '</s>', '<pad>', '<unk>', '<mask>');
  const [cls, sep] = [tokenName(config.cls_token) ?? '<s>', tokenName(config.sep_token) ?? '</s>'];
  const prefixSpace = config.add_prefix_space === true;
  return JSON.stringify({
    version: '1.0',
    added_tokens: addedTokens(specials, vocab),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: prefixSpace, trim_offsets: true, use_regex: true },
    post_processor:
      vocab.has(cls) && vocab.has(sep)
        ? {
            ...around('RobertaProcessing', cls, sep, vocab),
            trim_offsets: false,
            add_prefix_space: prefixSpace,
          }
        : { type: 'ByteLevel', add_prefix_space: prefixSpace, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab: Object.fromEntries(vocab), merges: rules },
  });
}

/** Configurations name a token as text or as `{ content }`. */
function tokenName(value: unknown): string | undefined {
  const content = typeof value === 'object' && value !== null ? (value as Config).content : value;
  return typeof content === 'string' ? content : undefined;
}

function addedTokens(names: (string | undefined)[], vocab: Map<string, number>): object[] {
  const known = [...new Set(names)].filter((name): name is string => name !== undefined && vocab.has(name));
  return known
    .map(content => ({
      id: vocab.get(content)!,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }))
    .sort((a, b) => a.id - b.id);
}

function around(type: string, cls: string, sep: string, vocab: Map<string, number>): object {
  return { type, sep: [sep, vocab.get(sep)], cls: [cls, vocab.get(cls)] };
}
