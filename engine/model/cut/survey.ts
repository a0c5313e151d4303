import { RefusedError } from '../../errors';
import { refusedByRuntime } from '../../runtime/complaint';
import type { Runtime } from '../../runtime/runtime';
import { floats, type Tensor } from '../../runtime/tensor';
import { canonicalContext, type CutCore } from './cutGraph';
import { makeFeeds, sampleIds, type Ids } from './feeds';
import type { Extract, Graph } from '../onnx/graph';
import { PieceLoader, type Piece } from './pieces';
import { contentOf } from './findCores';
import { reads, type GraphNode } from '../onnx/node';
import { isShapeOf, type AffineShape } from '../rewrite/simplify';

/** Tokens of the longest sample, if the model takes so many. */
const LONG = 150;

/** Runs parts of the uncut graph on sample texts, to see shapes and values. */
export class Survey {
  constructor(
    private readonly runtime: Runtime,
    private readonly folder: string,
    readonly vocabulary: number,
    /** One or two id inputs. */
    readonly idInputs: readonly string[],
    /** Longest text, or null. */
    public limit: number | null,
  ) {}

  ids(text: number, target: number, seed: number): Ids {
    return {
      ids: sampleIds(text, this.vocabulary, seed),
      target: this.idInputs.length > 1 ? sampleIds(target, this.vocabulary, seed + 1) : null,
    };
  }

  /** Values of the graph's inputs for a sample. */
  feeds(graph: Graph, sample: Ids): Record<string, Tensor> {
    return makeFeeds(graph, sample);
  }

  /** The named tensors of the graph for each sample. `given`: tensors that are not computed. */
  async tensors(
    graph: Graph,
    names: readonly string[],
    samples: readonly Ids[],
    given: (sample: Ids) => Record<string, Tensor> = () => ({}),
  ): Promise<Map<string, Tensor>[]> {
    const stops = given(samples[0]!);
    const extract = graph.extract(names, name => name in stops);
    return this.loaded(extract, async piece => {
      const results: Map<string, Tensor>[] = [];
      for (const sample of samples) {
        const feeds = { ...makeFeeds(graph, sample), ...given(sample) };
        results.push(await piece.run(name => feeds[name]));
      }
      return results;
    });
  }

  /** Loads a part of the graph while it is used: of large models that takes longer than all runs. */
  private async loaded<T>(extract: Extract, use: (piece: Piece) => Promise<T>): Promise<T> {
    const loader = new PieceLoader(this.runtime, this.folder, 'basic', true);
    try {
      return await use(await loader.load(extract));
    } catch (error) {
      if (error instanceof RefusedError) throw error;
      throw refusedByRuntime('run', error);
    } finally {
      await loader.release();
    }
  }

  /** Largest entry of a tensor of whole numbers for a text of `length` tokens; NaN where it fails or has another length. */
  async largest(graph: Graph, name: string, length: number): Promise<number> {
    try {
      const [tensors] = await this.tensors(graph, [name], [this.ids(length, length, 1)]);
      const { data, dims } = tensors!.get(name)!;
      if (dims[dims.length - 1] !== length) return NaN;
      let largest = -Infinity;
      for (const value of data) largest = Math.max(largest, Number(value));
      return largest;
    } catch {
      return NaN;
    }
  }

  /** What the uncut graph's cores give for one sample, [heads, queries, valueDim] each. */
  async contexts(graph: Graph, cores: readonly CutCore[], sample: Ids): Promise<Float32Array[]> {
    const own = graph.clone();
    const names = cores.map(c => canonicalContext(own, c));
    own.sort();
    const [tensors] = await this.tensors(own, names, [sample]);
    return names.map(name => floats(tensors!.get(name)!));
  }

  /**
   * Every Shape node whose output is affine in the lengths; the others stay as they are, and so do those of tensors that end
   * with a table, however long (a slice of relative positions): short texts cannot show where.
   */
  async shapes(graph: Graph): Promise<AffineShape[]> {
    const shapes = graph.nodes.filter(isShapeOf);
    const ending = new Set(endingShapes(graph, shapes, this.idInputs));
    const names = [...new Set(shapes.map(n => n.outputs[0]!))];
    if (names.length === 0) return [];
    const [a, b, c] = this.limit !== null && this.limit < 20 ? [3, 5, 7] : [8, 12, 20];
    const two = this.idInputs.length > 1;
    const lengths: [number, number][] = two
      ? [
          [a, b],
          [b, b],
          [a, c],
          [c, a],
        ]
      : [
          [a, 0],
          [b, 0],
          [c, 0],
        ];
    const sample = ([n, m]: [number, number], i: number) => this.ids(n, m, i);
    // What grows with short texts may end at the size of a table (DeBERTa's relative positions).
    const long = Math.min(LONG, this.limit ?? LONG);
    const longest: [number, number] = [long, long - 1];
    const extract = graph.extract(names, () => false);
    const runs = await this.loaded(extract, async piece => {
      const run = (ids: Ids) => {
        const feeds = makeFeeds(graph, ids);
        return piece.run(name => feeds[name]);
      };
      const short: Map<string, Tensor>[] = [];
      for (const [i, at] of lengths.entries()) short.push(await run(sample(at, i)));
      const more = await run(sample(longest, 4)).catch(() => null);
      return more ? [...short, more] : short;
    });
    if (runs.length > lengths.length) lengths.push(longest);
    return names.flatMap(output => {
      const values = runs.map(r => Array.from((r.get(output)! as { data: BigInt64Array }).data, Number));
      const fit = two ? fitTwo(values, lengths) : fitOne(values, lengths);
      // What grows with the square of the text is never computed for its shape.
      const square = fit !== null && fit.offset.filter((_, i) => fit.slopes.some(s => s[i] !== 0)).length > 1;
      return fit && (square || !ending.has(output)) ? [{ output, ...fit }] : [];
    });
  }
}

/** Shapes of tensors that do not depend on the text's words and are made of a slice of a table, or of a bounded size. */
function endingShapes(graph: Graph, shapes: readonly GraphNode[], ids: readonly string[]): string[] {
  const content = contentOf(graph, ids);
  const constants = graph.constants();
  const bounds = (node: GraphNode) =>
    (node.op === 'Slice' && constants.has(node.inputs[0]!)) || /^(Min|Max|Clip)$/.test(node.op);
  const known = new Map<string, boolean>();
  const ends = (name: string): boolean => {
    const before = known.get(name);
    if (before !== undefined) return before;
    known.set(name, false);
    const node = constants.has(name) ? undefined : graph.producer(name);
    const result = node !== undefined && (bounds(node) || reads(node).some(ends));
    known.set(name, result);
    return result;
  };
  return shapes
    .filter(node => !content.has(node.inputs[0]!) && ends(node.inputs[0]!))
    .map(node => node.outputs[0]!);
}

type Fit = { offset: number[]; slopes: number[][] };

function fitOne(values: number[][], lengths: [number, number][]): Fit | null {
  const slope = values[0]!.map((v, i) => (values[1]![i]! - v) / (lengths[1]![0] - lengths[0]![0]));
  const offset = values[0]!.map((v, i) => v - slope[i]! * lengths[0]![0]);
  return checked({ offset, slopes: [slope] }, values, lengths);
}

function fitTwo(values: number[][], lengths: [number, number][]): Fit | null {
  const first = values[0]!.map((v, i) => (values[1]![i]! - v) / (lengths[1]![0] - lengths[0]![0]));
  const second = values[0]!.map((v, i) => (values[2]![i]! - v) / (lengths[2]![1] - lengths[0]![1]));
  const offset = values[0]!.map((v, i) => v - first[i]! * lengths[0]![0] - second[i]! * lengths[0]![1]);
  return checked({ offset, slopes: [first, second] }, values, lengths);
}

function checked(fit: Fit, values: number[][], lengths: [number, number][]): Fit | null {
  const whole = [...fit.offset, ...fit.slopes.flat()].every(Number.isInteger);
  const fits = values.every(
    (list, r) =>
      list.length === fit.offset.length &&
      list.every(
        (v, i) => v === fit.slopes.reduce((sum, s, j) => sum + s[i]! * lengths[r]![j]!, fit.offset[i]!),
      ),
  );
  return whole && fits ? fit : null;
}
