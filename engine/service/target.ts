import type { LoadedModel } from './modelCache';
import { argmax } from '../statistics';
import { floats } from '../runtime/tensor';
import { checkpoint } from '../runtime/cancellation';
import type { TargetText, TokenTable } from '../../shared/protocol/engine';
import { say } from '../../shared/sentences';

/** Tokens that the model writes at most, when nobody gave a target text. */
const LONGEST_GENERATION = 64;

/**
 * What the decoder of an encoder-decoder reads: the given text, else what the model itself writes greedily. Begins with the
 * model's start token where the tokenizer marks that token as special. null for models without a second text.
 */
export async function targetText(
  loaded: LoadedModel,
  source: TokenTable,
  sourceText: string,
  given: string | null,
  limit: number,
  signal: AbortSignal,
  onProgress: (fraction: number, message: string) => void,
): Promise<TargetText | null> {
  const { model, tokenizer, config } = loaded;
  if (model.info.kind !== 'encoder-decoder') return null;
  const itself: TargetText = { text: sourceText, tokens: source, source: 'text' };
  if (!model.takesTarget) return itself;
  const special = (name: string) => {
    const id = config[name];
    return typeof id === 'number' && tokenizer.isSpecial(id) ? id : null;
  };
  const start = special('decoder_start_token_id') ?? special('bos_token_id');
  if (given !== null) {
    const tokens = await tokenizer.encode(given, Number.isFinite(limit) ? limit : null);
    return {
      text: given,
      tokens: start === null ? tokens : await startingWith(start, tokens, tokenizer),
      source: 'given',
    };
  }
  const end = special('eos_token_id');
  if (start === null || end === null) return itself;

  const ids = [start];
  const longest = Math.min(LONGEST_GENERATION, limit);
  while (ids.length < longest) {
    await checkpoint(signal);
    onProgress(ids.length / longest, say('targetToken', ids.length));
    const logits = floats(await model.runUncut(source.ids, Int32Array.from(ids)));
    const next = argmax(logits.subarray(logits.length - logits.length / ids.length));
    ids.push(next);
    if (next === end) break;
  }
  return { ...(await tokenizer.describe(Int32Array.from(ids))), source: 'generated' };
}

async function startingWith(
  start: number,
  tokens: TokenTable,
  tokenizer: LoadedModel['tokenizer'],
): Promise<TokenTable> {
  if (tokens.ids[0] === start) return tokens;
  const first = (await tokenizer.describe(Int32Array.of(start))).tokens;
  return {
    ids: Int32Array.of(start, ...tokens.ids),
    start: Int32Array.of(0, ...tokens.start),
    end: Int32Array.of(0, ...tokens.end),
    text: [...first.text, ...tokens.text],
    special: Uint8Array.of(1, ...tokens.special),
    total: tokens.total + 1,
  };
}
