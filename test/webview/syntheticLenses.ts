/** Lenses for the views without a model: the engine's own formulas over made-up numbers. */
import { curveOf, factorisedParameters } from '../../engine/lens/albert';
import { flashIo, standardAccesses } from '../../engine/lens/flash';
import { chunkRead } from '../../engine/lens/retro';
import { auxiliaryLoss, balanceOf } from '../../engine/lens/switch';
import { attentionOperations, cacheBytes, evenLength, trainingOperations } from '../../engine/lens/scaling';
import type { CoreInfo, LensParams, LensResult, TokenTable } from '../../shared/protocol/engine';
import { random } from './syntheticEngine';

interface Model {
  layers: number;
  heads: number;
  tokens: TokenTable;
}

export function syntheticLens(
  { lens, params, documents, searchWorkspace }: LensParams,
  model: Model,
): LensResult {
  const { layers, heads, tokens } = model;
  const n = tokens.ids.length;
  const cores = Array.from({ length: layers }, (_, core): CoreInfo => ({
    core,
    kind: 'self',
    layer: core,
    heads,
    kvHeads: heads,
    dim: 64,
    mask: 'causal',
    causal: true,
  }));
  const [vocabulary, hidden, blocks] = [4000, 64 * heads, layers * 12 * (64 * heads) ** 2];
  const parameters = vocabulary * hidden + blocks;
  switch (lens) {
    case 'flash': {
      const shape = {
        queries: n,
        keys: n,
        dim: 64,
        valueDim: 64,
        rule: { mask: { causal: true, window: null } },
      };
      const sram = Number(params['sram'] ?? 50_000);
      return {
        lens,
        tokens: n,
        dim: 64,
        valueDim: 64,
        causal: true,
        chosen: flashIo(shape, sram),
        curve: Array.from({ length: 20 }, (_, t) => flashIo(shape, Math.round(256 * 2 ** (t / 2)))),
        standard: standardAccesses(shape),
        memory: { standard: n * n, flash: 2 * n },
        check: { tokens: n, maxDifference: 2e-7, largest: 1, relative: 2e-7 },
      };
    }
    case 'switch': {
      const experts = Number(params['experts'] ?? 8);
      const factor = Number(params['capacityFactor'] ?? 1.25);
      const next = random(5);
      const p = new Float64Array(n * experts);
      for (let t = 0; t < n; t++) {
        const scores = Array.from({ length: experts }, (_, e) => Math.exp(3 * next() + (e === 1 ? 0.8 : 0)));
        const sum = scores.reduce((a, b) => a + b, 0);
        scores.forEach((s, e) => (p[t * experts + e] = s / sum));
      }
      const balance = balanceOf(p, experts, factor);
      return {
        lens,
        rowsAre: 'residual',
        layer: 0,
        tokens: n,
        experts,
        ...balance,
        capacityFactor: factor,
        curve: Array.from({ length: 31 }, (_, t) => ({
          factor: 0.5 + t / 10,
          dropRate: balanceOf(p, experts, 0.5 + t / 10).dropRate,
        })),
        auxLoss: { value: auxiliaryLoss(balance.load, balance.probability, 0.01), alpha: 0.01 },
      };
    }
    case 'albert': {
      const rank = Number(params['rank'] ?? Math.round(hidden / 6));
      const thin = factorisedParameters(vocabulary, hidden, rank);
      const values = Float64Array.from({ length: hidden }, (_, t) => 1 / (t + 4));
      return {
        lens,
        vocabulary,
        embeddingWidth: hidden,
        hidden,
        layers,
        parameters,
        embedding: vocabulary * hidden,
        apart: 0,
        blocks,
        rank,
        factorised: thin + blocks,
        shared: vocabulary * hidden + blocks / layers,
        both: thin + blocks / layers,
        curve: curveOf(values, vocabulary, hidden),
        sampledRows: vocabulary,
        similarity: Array.from({ length: layers - 1 }, (_, a) =>
          Array.from({ length: layers - 1 }, (_, b) => (a === b ? 1 : 0.02)),
        ),
        paper: { vocabulary: 30_000, hidden: 768, rank: 128, before: 23_040_000, after: 3_938_304 },
        notes: ['Best possible at each rank.'],
      };
    }
    case 'retro': {
      const chunk = Number(params['chunk'] ?? 64);
      const others = searchWorkspace
        ? [{ name: 'notes/other.md', uri: 'file:///notes/other.md', text: '' }]
        : [];
      const text = (from: number) => tokens.text.slice(from, from + chunk).join('');
      return {
        lens,
        tokens: n,
        chunk,
        chunks: Array.from({ length: Math.floor(n / chunk) }, (_, c) => ({
          from: c * chunk,
          to: (c + 1) * chunk,
          text: text(c * chunk),
          neighbours: [
            ...(c > 0
              ? [
                  {
                    source: -1,
                    chunk: c - 1,
                    start: 0,
                    end: 1,
                    token: (c - 1) * chunk,
                    similarity: 0.5,
                    text: text((c - 1) * chunk),
                  },
                ]
              : []),
            ...others.map(() => ({
              source: 0,
              chunk: 3,
              start: 10,
              end: 40,
              token: null,
              similarity: 0.3,
              text: 'elsewhere',
            })),
          ],
        })),
        reads: Int32Array.from({ length: n }, (_, i) => chunkRead(i, chunk)),
        documents: [...(documents ?? []), ...others].map(({ name, uri }) => ({ name, uri, chunks: 12 })),
        notes: ['Approximate.'],
      };
    }
    case 'simplified': {
      const next = random(9);
      const shares = cores.flatMap(({ core }) =>
        Array.from({ length: heads }, (_, head) => {
          const uniform = next() * 0.7;
          const identity = next() * (1 - uniform) * 0.6;
          return {
            core,
            head,
            uniform,
            identity,
            rest: 1 - uniform - identity,
            distance: 3,
            distancePerQuery: 0.4,
          };
        }),
      );
      return {
        lens,
        heads: shares,
        collapse: [...cores.map(c => c.core), 'output' as const].map((at, i) => ({
          at,
          cosine: 0.1 + 0.08 * i,
        })),
        parameters: {
          all: parameters,
          saved: layers * 2 * hidden ** 2,
          share: (layers * 2 * hidden ** 2) / parameters,
          textbook: 1 / 6,
        },
        notes: ['A lens.'],
      };
    }
    case 'scaling':
      return {
        lens,
        tokens: n,
        context: 2048,
        parameters,
        withoutEmbedding: blocks,
        multiplied: parameters,
        forward: Array.from({ length: 25 }, (_, t) => {
          const length = Math.round(128 * 2 ** (t / 2));
          return {
            tokens: length,
            weights: 2 * parameters * length,
            attention: attentionOperations(cores, length),
          };
        }),
        even: evenLength(cores, parameters),
        cachePerToken: { half: cacheBytes(cores, 2), single: cacheBytes(cores, 4) },
        models: [
          {
            name: 'GPT-3',
            parameters: 175e9,
            tokens: 300e9,
            flops: trainingOperations(175e9, 300e9),
            own: false,
          },
          {
            name: 'synthetic',
            parameters,
            tokens: 20 * parameters,
            flops: trainingOperations(parameters, 20 * parameters),
            own: true,
          },
        ],
        caches: [{ name: 'GPT-3', bytes: 4.7e6 }],
      };
    case 'memory': {
      const next = random(13);
      return {
        lens,
        ...{ core: 0, head: 0, native: false, tokens: n, from: Math.floor(n / 2) },
        ...{ segment: Math.ceil(n / 4), memory: Math.ceil(n / 8), compressed: 8, rate: 4 },
        cores: cores.map(({ core }) => ({
          core,
          heads: Array.from({ length: heads }, (_, head) => {
            const [memory, compressed] = [next() * 0.4, next() * 0.3];
            const segment = 1 - memory - compressed;
            return { head, segment, memory, compressed, reconstruction: 0.2 + next() * 0.6 };
          }),
        })),
        slots: Array.from({ length: 8 }, (_, s) => ({
          ...{ from: 4 * s, to: 4 * s + 4, mass: next() * 0.05, query: n - 1 - s, most: 0.05 + next() * 0.2 },
        })),
      };
    }
    case 'positions': {
      const next = random(11);
      return {
        lens,
        core: 0,
        native: false,
        tokens: n,
        rows: Math.min(n, 96),
        keys: Math.min(n, 1024),
        norm: 'layer',
        error: 4e-7,
        heads: Array.from({ length: heads }, (_, head) => {
          const [a, b, c] = [next() * 0.5, next() * 0.4, next() * 0.2 - 0.1];
          const shares = [a, b, c, 1 - a - b - c];
          return {
            head,
            shares,
            ofBias: [c / 2, 0.02],
            correlations: shares.map(x => Math.sign(x) * Math.sqrt(Math.abs(x))),
            sameChoice: shares.map(x => Math.abs(x)),
          };
        }),
      };
    }
  }
}
