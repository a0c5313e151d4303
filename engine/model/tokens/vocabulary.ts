/** The tokenizers library behind one definition: in this process, or in a child for definitions of unknown origin. */
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import { oneClause, RefusedError, told } from '../../errors';
import { TokenizerChild, TokenizerDiedError } from './tokenizerChild';

/** What the library makes of a text. */
export interface Encoded {
  ids: number[];
  tokens: string[];
  /** First and last code point of each token, one after the other. */
  offsets: number[];
  /** 1 for tokens that were added around the text. */
  special: number[];
}

export interface Vocabulary {
  /** Ids there are, added tokens included. */
  readonly size: number;
  encode(text: string): Promise<Encoded>;
  /** The entries of ids; '' where there is none. */
  entries(ids: Int32Array): Promise<string[]>;
  dispose(): void;
}

/** Of a definition that we know. Files often carry the truncation and padding of the training run: without. */
export function ownVocabulary(json: string): Vocabulary {
  const native = NativeTokenizer.fromString(json);
  native.disableTruncation();
  native.disablePadding();
  return {
    size: native.getVocabSize(true),
    async encode(text) {
      const encoding = await native.encode(text);
      return {
        ids: encoding.getIds(),
        tokens: encoding.getTokens(),
        offsets: encoding.getOffsets().flat(),
        special: encoding.getSpecialTokensMask(),
      };
    },
    entries: async ids => Array.from(ids, id => native.idToToken(id) ?? ''),
    dispose: () => undefined,
  };
}

const SAMPLE = 'The cat sat on the mat, 42 times! 😀 é\r\n\tשלום 日本 a\u0301 <s>';

/**
 * Of a definition of unknown origin: some end the process that reads them (a template that names an unknown token), or
 * the one that tokenizes a certain text, or take time and memory without bounds. So it never leaves its child; after a
 * text that ended it, the next one starts another.
 * @throws RefusedError when the definition ends the child, or an ordinary error when the library refuses it.
 */
export async function strangersVocabulary(path: string, json: string): Promise<Vocabulary> {
  let child: TokenizerChild | null = null;
  const started = async () => {
    if (child?.alive) return { child, size: 0 };
    child = new TokenizerChild();
    return { child, size: (await child.ask('load', json)) as number };
  };
  const ask = async (name: 'encode' | 'entries', value: unknown) => {
    try {
      return await (await started()).child.ask(name, value);
    } catch (error) {
      if (!(error instanceof TokenizerDiedError)) throw error;
      throw new RefusedError(told`The tokenizer ${path} cannot read this text: it ${error.message}.`);
    }
  };
  try {
    const { child, size } = await started();
    // An ordinary error on the sample says nothing of other texts.
    await child.ask('encode', SAMPLE).catch(error => {
      if (error instanceof TokenizerDiedError) throw error;
    });
    return {
      size,
      encode: async text => (await ask('encode', text)) as Encoded,
      entries: async ids => (await ask('entries', ids)) as string[],
      dispose: () => child.end(),
    };
  } catch (error) {
    (child as TokenizerChild | null)?.end();
    if (!(error instanceof TokenizerDiedError)) throw error;
    throw new RefusedError(told`The tokenizer ${path} cannot be used: its definition ${oneClause(error)}.`);
  }
}
