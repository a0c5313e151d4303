import type { CutCore } from './cutGraph';
import type { Extract, Graph } from '../onnx/graph';
import type { Ids } from './feeds';
import { float32, type Tensor } from '../../runtime/tensor';
import type { Survey } from './survey';

/** How a tensor of the cut graph grows with the text. */
export interface TokenAxis {
  /** The axis that counts tokens; null = it does not grow. */
  axis: number | null;
  /** Which of the model's id inputs the tokens are of. */
  input: number;
  /** Its shape for a short text. */
  dims: readonly number[];
  /** Elements per token; of one that does not grow, all. */
  width: number;
}

/** Tensors that grow with the text in any other way are not in it. */
export type TokenAxes = ReadonlyMap<string, TokenAxis>;

/** Runs what lies between the cores on texts of two lengths and looks which axis of each tensor grows; values do not matter. */
export async function tokenAxes(
  cut: Graph,
  pieces: readonly Extract[],
  cores: readonly CutCore[],
  survey: Survey,
): Promise<TokenAxes> {
  const own = cut.clone();
  const outside = new Set(cores.map(core => core.context));
  const constants = own.constants();
  const made = pieces.flatMap(({ inputs, nodes }) => [...inputs, ...nodes.flatMap(node => node.outputs)]);
  const given = (name: string) => name === '' || own.isInput(name) || outside.has(name);
  const names = [...new Set(made)].filter(name => !given(name) && !constants.has(name));
  const shapes = new Map(names.map(name => [name, own.op('Shape', [name])]));
  const small = survey.limit !== null && survey.limit < 13;
  const [n, m] = small ? [[4, 6], [3, 5]] : [[9, 13], [6, 11]]; // prettier-ignore
  const samples = [0, 1].map(i => survey.ids(n![i]!, m![i]!, 3 + i));
  const contextsOf = ({ ids, target }: Ids) =>
    Object.fromEntries(
      cores.map(({ context, heads, valueDim, queryInput }): [string, Tensor] => {
        const tokens = (queryInput === 1 ? target! : ids).length;
        return [context, float32(new Float32Array(heads * tokens * valueDim), [heads, tokens, valueDim])];
      }),
    );
  const [first, second] = await survey.tensors(own, [...shapes.values()], samples, contextsOf);
  const found = new Map<string, TokenAxis>();
  const add = (name: string, a: readonly number[], b: readonly number[]) => {
    const grown = a.flatMap((size, axis) => (size === b[axis] ? [] : [axis]));
    if (a.length !== b.length || grown.length > 1) return;
    const width = (dims: readonly number[]) => dims.reduce((product, d) => product * d, 1);
    if (grown.length === 0) found.set(name, { axis: null, input: 0, dims: a, width: width(a) });
    const axis = grown[0];
    if (axis === undefined) return;
    const input = [n!, m!].findIndex(lengths => a[axis] === lengths[0] && b[axis] === lengths[1]);
    if (input >= 0) found.set(name, { axis, input, dims: a, width: width(a) / a[axis]! });
  };
  const dimsOf = (tensors: Map<string, Tensor>, name: string) =>
    Array.from(tensors.get(shapes.get(name)!)!.data as BigInt64Array, Number);
  for (const name of names) add(name, dimsOf(first!, name), dimsOf(second!, name));
  const feeds = samples.map(sample => ({ ...survey.feeds(own, sample), ...contextsOf(sample) }));
  for (const [name, tensor] of Object.entries(feeds[0]!)) {
    if (own.isInput(name) || outside.has(name)) add(name, tensor.dims, feeds[1]![name]!.dims);
  }
  return found;
}
