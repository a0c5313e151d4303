import { visibleKeys, type CoreInput } from '../../attention/core';
import { RefusedError, told } from '../../errors';
import { float32, floats } from '../../runtime/tensor';
import { ElementType } from '../../runtime/onnxProto';
import { attribute, type GraphNode } from '../onnx/node';
import type { Place } from './recognise';

/** Numbers of all heads together, and the longest text, on which the steps behind a softmax are looked at. */
const NUMBERS = 2 ** 22;
const LONGEST = 1024;
const SHORTEST = 16;
/** The input that stands for the probabilities. */
const GIVEN = 'cut:probabilities';
const TOLERANCE = 1e-4;

/**
 * What a softmax gave must meet the values as it is, or by one factor for each head. A soft mask by distance that is not divided out
 * again (adaptive span without its sum) leaves queries with a part of their mass, which no map of probabilities says.
 * @throws RefusedError
 */
export async function refuseUneven({ graph, core, rule, loader, survey }: Place): Promise<void> {
  const { found, heads } = core;
  if (found.sink !== null || found.shaping || rule.opaque || core.queryInput !== core.keyInput) return;
  const softmax = found.interior.find(({ op }) => op === 'Softmax');
  const product = found.interior.find(({ outputs }) => outputs.includes(found.context));
  if (!softmax || !product) return;
  const [from, to] = [softmax.outputs[0]!, product.inputs[0]!];
  const after = graph.reachable([from]);
  const constants = graph.constants();
  const isOne = (name: string) =>
    constants.has(name) && (graph.initializers.get(name)?.dims ?? []).every(d => Number(d) === 1);
  const changes = ({ op, inputs }: GraphNode) =>
    (op === 'Mul' || op === 'Where') && inputs.some(name => !after.has(name) && !isOne(name));
  if (!found.interior.some(node => node.outputs.some(name => after.has(name)) && changes(node))) return;
  const n = Math.min(LONGEST, survey.limit ?? LONGEST, Math.floor(Math.sqrt(NUMBERS / heads)));
  if (n < SHORTEST) return;
  const ids = survey.ids(n, n, 3);
  const own = graph.clone();
  own.setNodes(own.nodes.filter(node => node !== own.producer(from)));
  own.op('Cast', [GIVEN], [attribute.int('to', graph.type(from))], from);
  const out = own.op('Cast', [to], [attribute.int('to', ElementType.float32)]);
  own.sort();
  const extract = own.extract([out], name => name === GIVEN || found.contentSides.includes(name));
  const read = extract.inputs.filter(name => found.contentSides.includes(name));
  const [contents] = read.length > 0 ? await survey.tensors(graph, read, [ids]) : [];
  const piece = await loader.load(extract);
  const given = survey.feeds(graph, ids);
  const ones = float32(new Float32Array(heads * n * n).fill(1), [...core.scoreLead, n, n]);
  const results = await piece.run(name => (name === GIVEN ? ones : (contents?.get(name) ?? given[name])));
  const weights = floats([...results.values()][0]!);
  if (weights.length !== heads * n * n) return;
  const seen = { queries: n, keys: n, rule } as unknown as CoreInput;
  for (let head = 0; head < heads; head++) {
    const first = weights[head * n * n]!;
    for (let i = 0; i < n; i++) {
      const row = (head * n + i) * n;
      const keys = visibleKeys(seen, i);
      for (let j = keys.from; j < keys.to; j++)
        if (!(Math.abs(weights[row + j]! - first) <= TOLERANCE * Math.abs(first)))
          throw new RefusedError(
            told`The model multiplies the probabilities of the attention at ${from} by numbers that differ from key to key, and does not divide by their sum again (a soft mask by distance, say): what is left is no map of probabilities, which is not supported.`,
          );
    }
  }
}
