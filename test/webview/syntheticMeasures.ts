/** Measures of the synthetic engine beyond attention: made-up values, and what follows from its attention by the true formulas. */
import type { EngineParams, EngineResult, HeadRef, LossGroup } from '../../shared/protocol/engine';
import { random, type SyntheticEngine } from './syntheticEngine';

/** Lengths of made-up values, between 0.2 and 2.2. */
function normsOf(engine: SyntheticEngine, core: number, head: number): Float32Array {
  const draw = random(core * 271 + head * 53 + 11);
  return Float32Array.from({ length: engine.n }, () => 0.2 + 2 * draw());
}

export function syntheticValues(
  engine: SyntheticEngine,
  { core, head }: HeadRef,
): EngineResult<'analysis/valueWeights'> {
  const norms = normsOf(engine, core, head);
  const sums = Float32Array.from({ length: engine.n }, (_, query) =>
    engine.row(core, head, query).reduce((sum, mass, key) => sum + mass * norms[key]!, 0),
  );
  return { projected: true, norms, sums };
}

/** A value-weighted row. */
export function valued(engine: SyntheticEngine, core: number, head: number, query: number): Float32Array {
  const norms = normsOf(engine, core, head);
  const given = engine.row(core, head, query).map((mass, key) => mass * norms[key]!);
  const sum = given.reduce((all, one) => all + one, 0);
  return given.map(one => one / sum);
}

export function syntheticRollout(
  engine: SyntheticEngine,
  { tokens }: EngineParams<'analysis/rollout'>,
): EngineResult<'analysis/rollout'> {
  const { layers, heads } = engine.size;
  const cores = Array.from({ length: layers }, (_, core) => core);
  const rows = tokens.map(token => {
    let row = Float32Array.from({ length: engine.n }, (_, at) => (at === token ? 1 : 0));
    for (const core of cores.toReversed()) {
      const next = row.map(share => share / 2);
      row.forEach((share, query) => {
        if (share === 0) return;
        for (let head = 0; head < heads; head++)
          engine.row(core, head, query).forEach((mass, key) => (next[key]! += (share / 2 / heads) * mass));
      });
      row = next;
    }
    return row;
  });
  return { cores, rows };
}

/** Made up: what each head writes toward a token, of either sign. */
export function syntheticTokenAttribution(
  { size }: SyntheticEngine,
  { token, answer = 0 }: EngineParams<'analysis/tokenAttribution'>,
): EngineResult<'analysis/tokenAttribution'> {
  const draw = random(token * 97 + answer);
  const heads = headsOf(size).map(({ core, head }) => {
    const logit = (draw() - 0.45) * 3;
    return { core, layer: core, head, logit, loss: logit / 4 };
  });
  return { token, answer: { id: answer, text: ` word${answer}` }, logit: 6.5, loss: 1.25, heads };
}

export function syntheticAttribution({ size }: SyntheticEngine): EngineResult<'analysis/attribution'> {
  const draw = random(41);
  const around = (delta: number) => ({ delta, low: delta - 0.02, high: delta + 0.02 });
  const heads = headsOf(size).map(({ core, head }) => {
    const logit = draw() - 0.4;
    return { core, layer: core, head, logit: around(logit), loss: around(logit / 5), copying: draw() };
  });
  return { heads };
}

function headsOf({ layers, heads }: SyntheticEngine['size']): { core: number; head: number }[] {
  return Array.from({ length: layers * heads }, (_, at) => ({
    core: Math.floor(at / heads),
    head: at % heads,
  }));
}

/** Made up: some heads carry a part of the way, some the other way, most next to nothing. */
export function syntheticPatching(
  { size, n }: SyntheticEngine,
  { at = n - 1 }: EngineParams<'analysis/patch'>,
): EngineResult<'analysis/patch'> {
  const draw = random(at + 7);
  const differences = { own: -3.5, other: 4.5 };
  const heads = headsOf(size).map(({ core, head }) => {
    const restored = (draw() - 0.3) ** 3;
    const delta = restored / 8;
    const difference = differences.own + restored * (differences.other - differences.own);
    return {
      core,
      layer: core,
      head,
      loss: { delta, low: delta - 0.01, high: delta + 0.01 },
      difference,
      restored,
    };
  });
  return {
    at,
    answers: { own: { id: 1, text: ' low' }, other: { id: 2, text: ' high' } },
    differences,
    heads,
  };
}

/** Made up, as `syntheticPatching`. */
function part(draw: () => number, differences: { own: number; other: number }) {
  const restored = (draw() - 0.3) ** 3;
  const delta = restored / 8;
  const difference = differences.own + restored * (differences.other - differences.own);
  return { loss: { delta, low: delta - 0.01, high: delta + 0.01 }, difference, restored };
}

const LOW_HIGH = {
  answers: { own: { id: 1, text: ' low' }, other: { id: 2, text: ' high' } },
  differences: { own: -3.5, other: 4.5 },
};

export function syntheticResidual(
  { size, n }: SyntheticEngine,
  { at = n - 1 }: EngineParams<'analysis/patchResidual'>,
): EngineResult<'analysis/patchResidual'> {
  const draw = random(at + 9);
  const tokens = [at - 3, at - 1, at];
  const cells = Array.from({ length: size.layers }, (_, core) => core).flatMap(core =>
    tokens.map(token => ({ core, layer: core, token, ...part(draw, LOW_HIGH.differences) })),
  );
  return { at, ...LOW_HIGH, tokens, cells };
}

export function syntheticEdges(
  { n }: SyntheticEngine,
  { at = n - 1, core, head }: EngineParams<'analysis/patchEdges'>,
): EngineResult<'analysis/patchEdges'> {
  const draw = random(at + 11);
  const edges = [1, 4, 9].map(back => ({
    ...{ query: at, key: at - back, moved: 2 / back },
    ...part(draw, LOW_HIGH.differences),
  }));
  return { at, ...LOW_HIGH, core, head, edges };
}

/** Made up: every head does the same on the probe. */
export function syntheticProbe(engine: SyntheticEngine): EngineResult<'heads/probe'> {
  const draw = random(3);
  const heads = headsOf(engine.size).map(({ core, head }) => {
    const around = (delta: number) => ({ delta, low: delta - 0.1, high: delta + 0.1 });
    const ablation = { zero: around(draw()), mean: around(draw()) };
    return { core, layer: core, head, roles: [{ role: 'duplicate' as const, score: 0.91 }], ablation };
  });
  return {
    model: engine.model(),
    probe: { tokens: 512, repeats: 4, seed: 1 },
    measure: 'loss',
    loss: { first: 8, repeated: 0.5 },
    heads: heads.sort((a, b) => b.ablation.zero.delta - a.ablation.zero.delta),
    circuit: null,
    ids: [],
    provenance: {
      ...{ tool: { name: 'synthetic', version: '0' }, model: null, inputs: [], seeds: { probe: 1 } },
      device: {
        ...{ device: 'cpu', requested: 'cpu', adapter: null },
        ...{ threads: 1, processors: 1, platform: 'none' },
      },
      runtime: { onnxruntime: '0', node: '0' },
    },
  };
}

/** Made up: what is rare or has little before it costs more. */
export function syntheticLossGroups(
  { n }: SyntheticEngine,
  { mechanisms, reference }: EngineParams<'analysis/lossGroups'>,
): EngineResult<'analysis/lossGroups'> {
  const groups = (edges: number[]): LossGroup[] =>
    edges.map((from, at) => {
      const mean = 5 - at;
      const changes = mechanisms.map((_, one) => ({
        delta: 0.1 * one + at / 50,
        low: at / 50 - 0.02,
        high: at / 50 + 0.2,
      }));
      const to = at + 1 < edges.length ? edges[at + 1]! - 1 : null;
      return { from, to, tokens: 40 + at, loss: { mean, low: mean - 0.3, high: mean + 0.3 }, changes };
    });
  return {
    referenceTokens: reference === null ? n : reference.length,
    frequency: groups([1, 10, 100]),
    context: groups([1, 16, 32, 64]),
    effectiveContext: 32,
  };
}
