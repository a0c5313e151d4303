import { floats, type Tensor } from '../../runtime/tensor';
import type { Graph } from '../onnx/graph';
import { contentOf, type NativeCore } from './findCores';
import { makeFeeds, type Ids } from './feeds';
import { idInputs } from '../onnx/inputs';
import type { PieceLoader } from './pieces';
import type { CoreFeeds } from './segmentRunner';

/** The tensors that native attention learned: initialisers, what the graph makes of them for a length, what it makes of the text. */
export class LearnedTensors {
  private readonly content: ReadonlySet<string>;

  constructor(
    private readonly graph: Graph,
    private readonly loader: PieceLoader,
  ) {
    this.content = contentOf(graph, idInputs(graph));
  }

  /** `names`: the graph's tensors by the mechanism's names for them. */
  async of(
    names: Readonly<Record<string, string>>,
    ids: Ids,
    feeds: CoreFeeds,
  ): Promise<Record<string, Tensor>> {
    const made = [...new Set(Object.values(names))].filter(name => !this.content.has(name));
    const found = await this.made(made, ids);
    return Object.fromEntries(
      Object.entries(names).map(([own, name]) => [own, found.get(name) ?? feeds.tensor(name)]),
    );
  }

  /** Those that are one number for each head, whatever the text. */
  async numbers({ tensors, values }: NativeCore, ids: Ids, heads: number): Promise<Record<string, number[]>> {
    const constants = this.graph.constants();
    const own = Object.entries(tensors).filter(([, name]) => constants.has(name));
    const found = await this.made([...new Set(own.map(([, name]) => name))], ids);
    const all = [...own.map(([key, name]) => [key, found.get(name)!] as const), ...Object.entries(values)];
    return Object.fromEntries(
      all.flatMap(([key, tensor]) =>
        tensor.data.length === heads ? [[key, Array.from(floats(tensor))]] : [],
      ),
    );
  }

  private async made(names: readonly string[], ids: Ids): Promise<Map<string, Tensor>> {
    if (names.length === 0) return new Map();
    const piece = await this.loader.load(this.graph.extract(names, () => false));
    const feeds = makeFeeds(this.graph, ids);
    return piece.run(name => feeds[name]);
  }
}
