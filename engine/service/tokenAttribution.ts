/** `analysis/tokenAttribution`: what each head writes toward the token that comes, or toward another, at one token of the text. */
import type { Analysis } from './analysis';
import { minus, refuse, said } from './attribution';
import { RefusedError, told } from '../errors';
import type { DirectPath, Stream } from '../model/cut/directPath';
import type { Tokenizer } from '../model/tokens/tokenizer';
import { checkpoint } from '../runtime/cancellation';
import type { TokenAttribution, TokenAttributionParams } from '../../shared/protocol/engine';
import { argmax } from '../statistics';

type Asked = Omit<TokenAttributionParams, 'id'>;

export async function tokenAttribution(
  analysis: Analysis,
  { token, answer }: Asked,
  tokenizer: Tokenizer,
  signal: AbortSignal,
): Promise<TokenAttribution> {
  refuse(analysis);
  const { model, tokens, cores } = analysis;
  const count = tokens.ids.length;
  if (!(Number.isInteger(token) && token >= 0 && token < count))
    throw new RefusedError(told`There is no token ${token}.`);
  const contexts: Float32Array[] = [];
  await analysis.visitAlone(
    [...cores.keys()],
    (core, { output }) => void (contexts[core] = output.slice()),
    signal,
  );
  return model.directly(tokens.ids, async path => {
    // The same for every token that is asked about.
    const stream = await analysis.shared('stream', () => path.stream(contexts), signal);
    const row = stream.rows.slice(token * stream.width, (token + 1) * stream.width);
    const logits = await path.logits(row, stream);
    const id = answer ?? tokens.ids[token + 1] ?? argmax(logits);
    if (!(Number.isInteger(id) && id >= 0 && id < logits.length))
      throw new RefusedError(told`The vocabulary has no token of the id ${id}.`);
    const whole = said(logits, id);
    const heads: TokenAttribution['heads'] = [];
    for (const [core, context] of contexts.entries()) {
      await checkpoint(signal);
      const { info } = analysis.core(core).result;
      const parts = await writtenByHeads(path, stream, core, { context, count, heads: info.heads, token });
      for (const [head, part] of parts.entries()) {
        const without = said(await path.logits(minus(row, part), stream), id);
        const [logit, loss] = [whole.logit - without.logit, without.loss - whole.loss];
        heads.push({ core, layer: info.layer, head, logit, loss });
      }
    }
    const { tokens: named } = await tokenizer.describe(Int32Array.of(id));
    return { token, answer: { id, text: named.text[0] ?? '' }, ...whole, heads };
  });
}

/**
 * What each head of a core writes at one token. Every row is written by itself, so that of as many heads as there are rows can be
 * told at once: each alone in a row of its own.
 */
async function writtenByHeads(
  path: DirectPath,
  { width }: Stream,
  core: number,
  { context, count, heads, token }: { context: Float32Array; count: number; heads: number; token: number },
): Promise<Float32Array[]> {
  const size = context.length / heads / count;
  const nothing = await path.written(core, new Float32Array(context.length));
  const parts: Float32Array[] = [];
  for (let first = 0; first < heads; first += count) {
    const apart = new Float32Array(context.length);
    const some = Math.min(count, heads - first);
    for (let row = 0; row < some; row++) {
      const at = (first + row) * count;
      apart.set(context.subarray((at + token) * size, (at + token + 1) * size), (at + row) * size);
    }
    const added = minus(await path.written(core, apart), nothing);
    for (let row = 0; row < some; row++) parts.push(added.subarray(row * width, (row + 1) * width));
  }
  return parts;
}
