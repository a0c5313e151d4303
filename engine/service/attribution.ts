/** `analysis/attribution`: direct logit attribution of every head, and how far it copies. */
import type { Analysis } from './analysis';
import { kvHead, type CoreInput } from '../attention/core';
import { RefusedError } from '../errors';
import type { DirectPath, Stream } from '../model/cut/directPath';
import { checkpoint } from '../runtime/cancellation';
import type { AttributedHead, Attribution } from '../../shared/protocol/engine';
import { changeOf } from '../../shared/uncertainty';
import { logSumExp, mean } from '../statistics';

/** Logits that are held at once. */
const LOGITS = 2 ** 22;
/** Rows whose logits tell how many there are of each. */
const FIRST_ROWS = 64;
/** A head copies a token that is among so many of the likeliest ones of what it makes of its value (Wang et al., 2022). */
const LIKELIEST = 5;

export async function attribution(
  analysis: Analysis,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Attribution> {
  refuse(analysis);
  const { model, tokens } = analysis;
  if (tokens.ids.length < 2) throw new RefusedError('No token of this text is predicted from others.');
  const contexts: Float32Array[] = [];
  const inputs: CoreInput[] = [];
  await analysis.visitAlone(
    [...analysis.cores.keys()],
    (core, { input, output }) => {
      contexts[core] = output.slice();
      inputs[core] = { ...input, v: input.v.slice() };
      return Promise.resolve();
    },
    signal,
  );
  return model.directly(tokens.ids, async path => {
    const stream = await path.stream(contexts);
    const rows = new Rows(path, stream, tokens.ids, signal);
    const dense = await rows.ofNext(stream.rows);
    const heads: AttributedHead[] = [];
    for (const [core, input] of inputs.entries()) {
      const nothing = await path.written(core, new Float32Array(contexts[core]!.length));
      for (let head = 0; head < input.heads; head++) {
        onProgress((core + head / input.heads) / inputs.length);
        const alone = onlyHead(contexts[core]!, input.heads, head);
        const part = minus(await path.written(core, alone), nothing);
        const without = await rows.ofNext(minus(stream.rows, part));
        const values = minus(await path.written(core, valuesOf(input, head)), nothing);
        heads.push({
          ...{ core, layer: analysis.core(core).result.info.layer, head },
          logit: changeOf({ perToken: minus(dense.logit, without.logit) }),
          loss: changeOf({ perToken: minus(without.loss, dense.loss) }),
          copying: await rows.copied(values),
        });
      }
    }
    return { heads };
  });
}

/** Direct attribution is told where the text itself is predicted, from left to right. */
export function refuse({ predicts, target }: Analysis): void {
  if (predicts !== 'next' || target)
    throw new RefusedError('Direct attribution is told of decoders that predict the next token of the text.');
}

/** What logits say of one of them: how far it is above the mean of all, and its loss. */
export function said(logits: Float32Array, id: number): { logit: number; loss: number } {
  const own = logits[id]!;
  return { logit: own - mean(logits), loss: logSumExp(logits) - own };
}

/** What the logits of rows say of the tokens of a text. */
class Rows {
  constructor(
    private readonly path: DirectPath,
    private readonly stream: Stream,
    private readonly ids: Int32Array,
    private readonly signal: AbortSignal,
  ) {}

  /** Of row i, for token i + 1: its logit less the mean of all, and its loss. */
  async ofNext(stream: Float32Array): Promise<{ logit: Float32Array; loss: Float32Array }> {
    const count = this.ids.length - 1;
    const [logit, loss] = [new Float32Array(count), new Float32Array(count)];
    await this.each(stream, (row, logits) => {
      if (row >= count) return;
      const next = said(logits, this.ids[row + 1]!);
      logit[row] = next.logit;
      loss[row] = next.loss;
    });
    return { logit, loss };
  }

  /** Share of rows whose own token is among the likeliest. */
  async copied(rows: Float32Array): Promise<number> {
    let found = 0;
    await this.each(rows, (row, logits) => {
      const own = logits[this.ids[row]!]!;
      let asLarge = 0;
      for (const one of logits) if (one >= own) asLarge++;
      if (asLarge <= LIKELIEST) found++;
    });
    return found / this.ids.length;
  }

  private async each(rows: Float32Array, visit: (row: number, logits: Float32Array) => void): Promise<void> {
    const { width } = this.stream;
    let step = FIRST_ROWS;
    for (let from = 0, to = 0; from < rows.length / width; from = to) {
      await checkpoint(this.signal);
      const block = rows.subarray(from * width, (from + step) * width);
      const logits = await this.path.logits(block, this.stream);
      const size = logits.length / (block.length / width);
      to = from + step;
      step = Math.max(1, Math.floor(LOGITS / size));
      for (let at = 0; at * size < logits.length; at++)
        visit(from + at, logits.subarray(at * size, (at + 1) * size));
    }
  }
}

export const minus = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, at) => value - b[at]!);

function onlyHead(context: Float32Array, heads: number, head: number): Float32Array {
  const size = context.length / heads;
  const alone = new Float32Array(context.length);
  alone.set(context.subarray(head * size, (head + 1) * size), head * size);
  return alone;
}

/** As if each token looked at itself alone: a context of the head's own values. */
function valuesOf(input: CoreInput, head: number): Float32Array {
  const { heads, queries, valueDim, v } = input;
  const size = queries * valueDim;
  const context = new Float32Array(heads * size);
  const from = kvHead(input, head) * size;
  context.set(v.subarray(from, from + size), head * size);
  return context;
}
