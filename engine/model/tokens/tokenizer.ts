/** A model's tokenizer: text to ids, each with its range in the text. */
import { join } from 'node:path';
import { RefusedError, oneClause, refused, told } from '../../errors';
import type { TokenTable } from '../../../shared/protocol/engine';
import { joinedBytes, narrowByteTokens } from './byteTokens';
import { isBundled } from '../../bundledFolder';
import { codePointOffsets, readableToken, type TokenStyle } from './text';
import { parseJsonObject } from './json';
import { readOwn } from './ownFile';
import { ownVocabulary, strangersVocabulary, type Encoded, type Vocabulary } from './vocabulary';
import { byteLevelJson, vocabularyKind, wordPieceJson } from './vocabularyFiles';

/** Tokenizer files larger than this are not read (the largest published ones have about 35 MB). */
const FILE_LIMIT = 128 * 2 ** 20;
/** Texts up to so many characters are tokenised whole, so that `total` is exact. */
const WHOLE_TEXT = 200_000;
/** No more than this is tokenised at once, whatever the limit: bounds the memory (about 200 bytes a character). */
const PIECE_LIMIT = 2 ** 21;
const TOKEN_LIMIT = 2 ** 18;
/** Around a text: published tokenizers add a handful. */
const MOST_SPECIALS = 1024;
/** Tokens closer than this to the end of a piece may come out differently in the whole text. */
const MARGIN = 256;

export interface Tokenizer {
  /** Ids there are, added tokens included. */
  readonly vocabulary: number;
  /**
   * Tokens of the text with UTF-16 ranges; at most `maxTokens` (null: no limit of the model's), special tokens
   * included. Of a large text only as much is tokenised as the limit needs; then `total` is an estimate.
   */
  encode(text: string, maxTokens: number | null): Promise<TokenTable>;
  /** Readable text of ids that a model gave, and the table of its tokens. */
  describe(ids: Int32Array): Promise<{ text: string; tokens: TokenTable }>;
  /** True for tokens that the tokenizer marks as special, such as the start of a sequence. */
  isSpecial(id: number): boolean;
  /** The token that stands for a hidden one; null without. */
  readonly mask: number | null;
  dispose(): void;
}

/**
 * Loads `tokenizer.json`, or builds the tokenizer from `vocab.txt` (WordPiece) or `vocab.json` and `merges.txt`
 * (byte-level BPE). Throws RefusedError when there is none or it cannot be read.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const { path, json } = await tokenizerJson(folder);
  let words: Vocabulary;
  let style: TokenStyle;
  try {
    const definition = JSON.parse(json) as Record<string, unknown>;
    style = tokenStyle(definition);
    words = isBundled(folder) ? ownVocabulary(json) : await strangersVocabulary(path, json);
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    throw new RefusedError(told`The tokenizer ${path} cannot be read: ${oneClause(error)}.`);
  }
  const specials = specialIds(json);
  const config = parseObject(await readOwn(folder, 'tokenizer_config.json', FILE_LIMIT));
  return {
    vocabulary: words.size,
    encode: (text, maxTokens) => encode(words, style, text, maxTokens),
    describe: ids => describe(words, style, specials, ids),
    isSpecial: id => specials.has(id),
    mask: maskId(json, config),
    dispose: () => words.dispose(),
  };
}

/** Throws RefusedError when an id is not in the model's vocabulary. */
export function checkTokensFit(tokens: TokenTable, vocabulary: number | null): void {
  if (vocabulary === null) return;
  const at = tokens.ids.findIndex(id => id >= vocabulary);
  if (at < 0) return;
  throw refused('tokenizerMatches', JSON.stringify(tokens.text[at]), tokens.ids[at]!, vocabulary - 1);
}

async function tokenizerJson(folder: string): Promise<{ path: string; json: string }> {
  const read = (name: string) => readOwn(folder, name, FILE_LIMIT);
  const whole = await read('tokenizer.json');
  if (whole !== null) return { path: join(folder, 'tokenizer.json'), json: strict(whole) };

  const config = parseObject(await read('tokenizer_config.json'));
  const kind = vocabularyKind(config);
  const words = await read('vocab.txt');
  if (words !== null && kind !== 'byte-level') {
    return { path: join(folder, 'vocab.txt'), json: wordPieceJson(words, config) };
  }
  const [vocab, merges] = [await read('vocab.json'), await read('merges.txt')];
  if (vocab !== null && merges !== null && kind !== 'wordpiece') {
    return { path: join(folder, 'vocab.json'), json: byteLevelJson(parseObject(vocab), merges, config) };
  }
  throw refused('noTokenizer', folder);
}

/** The JSON object, or {} when it is none: then the defaults of the tokenizer's kind hold. */
function parseObject(json: string | null): Record<string, unknown> {
  return parseJsonObject(json ?? '{}') ?? {};
}

/** The tokenizers library takes strict JSON alone. */
function strict(json: string): string {
  const object = isStrict(json) ? null : parseJsonObject(json);
  return object ? JSON.stringify(object) : json;
}

function isStrict(json: string): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}

interface SpecialToken {
  id: number;
  content?: unknown;
}

function specialTokens(json: string): SpecialToken[] {
  const added = parseObject(json)['added_tokens'];
  const list: unknown[] = Array.isArray(added) ? added : [];
  return list.filter(isSpecialToken);
}

const specialIds = (json: string) => new Set(specialTokens(json).map(({ id }) => id));

function isSpecialToken(token: unknown): token is SpecialToken {
  const { id, special } = (token ?? {}) as { id?: unknown; special?: unknown };
  return typeof id === 'number' && special === true;
}

/** The mask token by its name in the configuration, else by the usual names. */
function maskId(json: string, config: Record<string, unknown>): number | null {
  const given = config['mask_token'];
  const named =
    typeof given === 'object' && given !== null ? (given as { content?: unknown }).content : given;
  const names = typeof named === 'string' ? [named] : ['[MASK]', '<mask>'];
  return specialTokens(json).find(({ content }) => names.includes(content as string))?.id ?? null;
}

/** Whether a space stands before an entry in the text, which its own text does not have. */
function opensWord(style: TokenStyle, entries: readonly string[], index: number): boolean {
  if (style === 'word-pieces') return !entries[index]!.startsWith('##');
  if (style === 'word-ends') return entries[index - 1]?.endsWith('</w>') === true;
  return style === 'plain';
}

async function describe(
  words: Vocabulary,
  style: TokenStyle,
  specials: ReadonlySet<number>,
  ids: Int32Array,
): Promise<{ text: string; tokens: TokenTable }> {
  const entries = await words.entries(ids);
  const pieces = entries.map(entry => readableToken(entry, style));
  const start = new Int32Array(ids.length);
  const end = new Int32Array(ids.length);
  let text = '';
  pieces.forEach((piece, i) => {
    start[i] = text.length;
    if (!specials.has(ids[i]!)) text += text !== '' && opensWord(style, entries, i) ? ` ${piece}` : piece;
    end[i] = text.length;
  });
  return {
    text,
    tokens: {
      ids,
      start,
      end,
      text: joinedBytes(pieces),
      special: Uint8Array.from(ids, id => Number(specials.has(id))),
      total: ids.length,
    },
  };
}

function tokenStyle(definition: Record<string, unknown>): TokenStyle {
  const parts = JSON.stringify([definition.normalizer, definition.pre_tokenizer, definition.decoder]);
  if (parts.includes('"ByteLevel"')) return 'byte-level';
  if (parts.includes('\u2581') || parts.includes('"Metaspace"')) return 'metaspace';
  const model = (definition.model ?? {}) as Record<string, unknown>;
  if (model['type'] === 'WordPiece' && model['continuing_subword_prefix'] === '##') return 'word-pieces';
  return model['end_of_word_suffix'] === '</w>' ? 'word-ends' : 'plain';
}

async function encode(
  words: Vocabulary,
  style: TokenStyle,
  text: string,
  maxTokens: number | null,
): Promise<TokenTable> {
  if (text.length === 0) throw refused('textEmpty');
  const limit = Math.min(maxTokens ?? TOKEN_LIMIT, TOKEN_LIMIT);
  let size = text.length <= WHOLE_TEXT ? text.length : limit * 8;
  for (;;) {
    size = Math.min(Math.max(size, WHOLE_TEXT), PIECE_LIMIT, text.length);
    const piece = size === text.length ? text : text.slice(0, pieceEnd(text, size));
    const encoding = await words.encode(piece).catch(error => {
      if (error instanceof RefusedError) throw error;
      throw new RefusedError(told`The tokenizer failed on this text: ${oneClause(error)}.`);
    });
    const found = ranges(encoding, piece);
    if (found.specials > MOST_SPECIALS)
      throw new RefusedError(told`The tokenizer puts ${found.specials} special tokens around each text.`);
    const isLast = piece.length === text.length || size === PIECE_LIMIT;
    const trusted =
      piece.length === text.length ? found.to - found.from : found.endingBefore(piece.length - MARGIN);
    if (isLast || found.specials + trusted >= limit) {
      return table(style, found, limit, trusted, piece.length, text.length);
    }
    size *= 4;
  }
}

/** A place to cut near `size`: after white space if there is any, never inside a surrogate pair. */
function pieceEnd(text: string, size: number): number {
  for (let end = size; end > size - 1000; end--) {
    if (/\s/.test(text[end - 1]!) && /\S/.test(text[end] ?? ' ')) return end;
  }
  const code = text.charCodeAt(size);
  return code >= 0xdc00 && code < 0xe000 ? size - 1 : size;
}

/** An encoding in UTF-16 units; the tokens `from` .. `to` are of the text, the others special ones around it. */
interface Ranges {
  ids: number[];
  tokens: string[];
  start: Int32Array;
  end: Int32Array;
  from: number;
  to: number;
  specials: number;
  /** How many tokens of the text end before this position. */
  endingBefore(position: number): number;
}

function ranges({ ids, tokens, offsets, special: added }: Encoded, piece: string): Ranges {
  const utf16 = codePointOffsets(piece);
  const start = new Int32Array(ids.length);
  const end = new Int32Array(ids.length);
  let from = 0;
  let to = ids.length;
  while (from < to && added[from]) from++;
  while (to > from && added[to - 1]) to--;
  // Odd tokenizers (say with an end-of-word suffix that they spell out) give ranges beyond the text.
  const position = (point: number): number =>
    utf16 ? (utf16[point] ?? piece.length) : Math.min(point, piece.length);
  ids.forEach((_, i) => {
    start[i] = position(offsets[2 * i]!);
    end[i] = Math.max(start[i]!, position(offsets[2 * i + 1]!));
  });
  end.fill(0, 0, from);
  start.fill(0, 0, from);
  narrowByteTokens(tokens, start, end, piece);
  const endingBefore = (position: number): number => {
    let count = 0;
    while (from + count < to && end[from + count]! <= position) count++;
    return count;
  };
  return {
    ids,
    tokens,
    start,
    end,
    from,
    to,
    specials: from + ids.length - to,
    endingBefore,
  };
}

function table(
  style: TokenStyle,
  found: Ranges,
  limit: number,
  trusted: number,
  pieceLength: number,
  textLength: number,
): TokenTable {
  const { from, to, specials } = found;
  if (to === from) throw refused('textBlank');
  const kept = Math.min(trusted || to - from, Math.max(1, limit - specials));
  // Cut like a tokenizer truncates: the special tokens stay, the text's last tokens go.
  const order: number[] = [];
  for (let i = 0; i < from + kept; i++) order.push(i);
  for (let i = to; i < found.ids.length; i++) order.push(i);

  const textEnd = found.end[from + kept - 1]!;
  const isAdded = (i: number): boolean => i < from || i >= to;
  const position = (i: number, offset: number): number => (i < from ? 0 : i >= to ? textEnd : offset);
  const estimated = pieceLength < textLength;
  return {
    ids: Int32Array.from(order, i => found.ids[i]!),
    start: Int32Array.from(order, i => position(i, found.start[i]!)),
    end: Int32Array.from(order, i => position(i, found.end[i]!)),
    text: joinedBytes(
      order.map(i => (isAdded(i) ? found.tokens[i]! : readableToken(found.tokens[i]!, style))),
    ),
    special: Uint8Array.from(order, i => Number(isAdded(i))),
    total: specials + Math.round(((to - from) * textLength) / pieceLength),
    ...(estimated && { estimated }),
  };
}
