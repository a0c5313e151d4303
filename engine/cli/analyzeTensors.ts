/** `analyze --tensors`: what the model computed on the text, written while it runs. */
import type { CoreInput } from '../attention/core';
import { denseRows } from '../attention/kernels/dense';
import type { AnalyzeHooks } from '../engine';
import { SafetensorsWriter } from '../export/safetensors';
import type { ModelOutput } from '../model/cut/cutModel';
import type { CoreInfo, Provenance, TokenTable } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import type { Runtime } from '../runtime/runtime';
import { int64, type Tensor } from '../runtime/tensor';

/** Floats held at once of one head's probabilities or of the logits. */
const BLOCK = 2 ** 22;

/**
 * Collects `tokens`, `logits` (or `last_hidden_state` of a base model), `loss`, and with `weights` the dense
 * probabilities `core.{i}.weights`, block by block, so that nothing quadratic is held.
 */
export class TensorsFile {
  private constructor(
    private readonly writer: SafetensorsWriter,
    private readonly weights: { runtime: Runtime; signal: AbortSignal } | null,
    private readonly signal: AbortSignal,
  ) {}

  /** `weights`: where the probabilities are computed again, or null to leave them out. */
  static async create(path: string, weights: Runtime | null, signal: AbortSignal): Promise<TensorsFile> {
    const writer = await SafetensorsWriter.create(path, 1024);
    return new TensorsFile(writer, weights && { runtime: weights, signal }, signal);
  }

  readonly hooks: AnalyzeHooks = {
    forget: true,
    onTokens: (tokens: TokenTable) => this.put('tokens', int64(tokens.ids, [tokens.ids.length])),
    onTensors: (info: CoreInfo, input: CoreInput) => this.putWeights(info, input),
    onOutput: (output: ModelOutput) => this.putOutput(output),
  };

  /** `source`: by what the tensors can be made again. `target`: ids that the decoder of an encoder-decoder read, as `target_tokens`. */
  async finish(
    source: Provenance | undefined,
    loss: Float32Array | null,
    target: Int32Array | null,
  ): Promise<void> {
    if (target) await this.put('target_tokens', int64(target, [target.length]));
    if (loss) await this.put('loss', { type: 'float32', data: loss, dims: [loss.length] });
    await this.writer.finish(source && { provenance: JSON.stringify(source) });
  }

  abort(): Promise<void> {
    return this.writer.abort();
  }

  private async put(name: string, tensor: Tensor): Promise<void> {
    await this.writer.add(name, tensor);
    await this.writer.write(name, tensor.data);
  }

  private async putWeights(info: CoreInfo, input: CoreInput): Promise<void> {
    if (!this.weights) return;
    const { heads, queries, keys } = input;
    const name = `core.${info.core}.weights`;
    await this.writer.add(name, { type: 'float32', dims: [heads, queries, keys] });
    const step = Math.max(1, Math.floor(BLOCK / keys));
    for (let head = 0; head < heads; head++) {
      for (let from = 0; from < queries; from += step) {
        const to = Math.min(queries, from + step);
        const rows = await denseRows(input, head, from, to, this.weights);
        await this.writer.write(name, rows, (head * queries + from) * keys);
      }
    }
  }

  private async putOutput(output: ModelOutput): Promise<void> {
    const name = output.kind === 'logits' ? 'logits' : 'last_hidden_state';
    await this.writer.add(name, { type: 'float32', dims: [output.rows, output.width] });
    const step = Math.max(1, Math.floor(BLOCK / output.width));
    for (let from = 0; from < output.rows; from += step) {
      await checkpoint(this.signal);
      const to = Math.min(output.rows, from + step);
      await this.writer.write(name, await output.read(from, to), from * output.width);
    }
  }
}
