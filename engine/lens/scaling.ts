import { visiblePairs } from '../attention/cost';
import type { CoreInfo, ScalingLens } from '../../shared/protocol/engine';
import type { Lens } from './lens';
import { widthsOf } from './widths';

/** Tokens per parameter that Hoffmann et al. 2022 find best for a given compute. */
const BEST_TOKENS = 20;

/** Parameters and training tokens as their authors give them. */
const PUBLISHED = [
  { name: 'GPT-3', parameters: 175e9, tokens: 300e9 },
  { name: 'Gopher', parameters: 280e9, tokens: 300e9 },
  { name: 'Chinchilla', parameters: 70e9, tokens: 1.4e12 },
  { name: 'LLaMA-7B', parameters: 6.7e9, tokens: 1e12 },
  { name: 'LLaMA-65B', parameters: 65.2e9, tokens: 1.4e12 },
];

/** Layers, key-value heads and their size. */
const SHAPES = [
  { name: 'GPT-2 small', layers: 12, kvHeads: 12, dim: 64 },
  { name: 'LLaMA-7B', layers: 32, kvHeads: 32, dim: 128 },
  { name: 'Llama 2 70B (grouped keys)', layers: 80, kvHeads: 8, dim: 128 },
  { name: 'GPT-3', layers: 96, kvHeads: 96, dim: 128 },
];

/**
 * How compute and memory grow with length and size: 2 N operations per token and forward, 6 N D to train (Kaplan et
 * al., 2020), attention on top of it, and the keys and values that generation keeps. Calculated, nothing is run.
 */
export const scaling: Lens<'scaling'> = {
  name: 'scaling',
  title: 'Scaling',
  paper:
    'Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1; Hoffmann et al., Training Compute-Optimal Large Language Models, 2022',
  parameters: [],

  async look(analysis, _, { signal }): Promise<ScalingLens> {
    const { info } = analysis.model;
    const embedding = (await widthsOf(analysis, signal)).embedding * (info.vocabulary ?? 0);
    // Looking up costs nothing, but a table tied to the output is multiplied with.
    const { multiplied } = analysis.model.weightUses();
    const lengths = Array.from({ length: 25 }, (_, t) => Math.round(128 * 2 ** (t / 2)));
    const forward = lengths.map(tokens => ({
      tokens,
      weights: 2 * multiplied * tokens,
      attention: attentionOperations(info.cores, tokens),
    }));
    return {
      lens: 'scaling',
      tokens: analysis.tokens.ids.length,
      context: info.context,
      parameters: info.parameters,
      withoutEmbedding: info.parameters - embedding,
      multiplied,
      forward,
      even: evenLength(info.cores, multiplied),
      cachePerToken: { half: cacheBytes(info.cores, 2), single: cacheBytes(info.cores, 4) },
      models: [
        ...PUBLISHED.map(model => ({ ...model, own: false })),
        { name: info.name, parameters: info.parameters, tokens: BEST_TOKENS * info.parameters, own: true },
      ].map(model => ({ ...model, flops: trainingOperations(model.parameters, model.tokens) })),
      caches: SHAPES.map(({ name, layers, kvHeads, dim }) => ({
        name,
        bytes: 2 * 2 * layers * kvHeads * dim,
      })),
    };
  },
};

/** C = 6 N D: forward 2, backward 4 for each parameter and token. */
export function trainingOperations(parameters: number, tokens: number): number {
  return 6 * parameters * tokens;
}

/** Scores and weighted sums of all heads: 2 (d + dv) for each visible pair. */
export function attentionOperations(cores: readonly CoreInfo[], tokens: number): number {
  return cores.reduce(
    (sum, { heads, dim, causal }) => sum + 4 * heads * dim * visiblePairs(tokens, causal),
    0,
  );
}

/** The length from which attention takes more operations than the weights. */
export function evenLength(cores: readonly CoreInfo[], parameters: number): number {
  let [low, high] = [1, 2 ** 40];
  while (high / low > 1.0001) {
    const middle = Math.sqrt(low * high);
    if (attentionOperations(cores, middle) < 2 * parameters * middle) low = middle;
    else high = middle;
  }
  return Math.round(low);
}

/** Keys and values of one token, of the cores that grow with what is generated. */
export function cacheBytes(cores: readonly CoreInfo[], bytes: number): number {
  return cores
    .filter(({ kind }) => kind === 'self' || kind === 'decoder')
    .reduce((sum, { kvHeads, dim }) => sum + 2 * kvHeads * dim * bytes, 0);
}
