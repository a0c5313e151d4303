import { intAttribute, reads, type GraphNode } from '../onnx/node';
import type { Graph } from '../onnx/graph';

/** What a router of experts decided: the probability of each expert for each token. */
export interface RouterRows {
  /** The core that ran last before it; null = none. */
  behind: number | null;
  experts: number;
  /** [tokens, experts] */
  data: Float32Array;
}

const CHOOSES = new Set(['ArgMax', 'TopK']);
/** What may stand between a router's product and its softmax, or between that and the choice. */
const PASSING = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Add']);
const PRODUCTS = new Set(['MatMul', 'Gemm']);

/**
 * The probabilities of the routers, in the graph's order: a softmax over the products of rows with as many learned directions as there
 * are experts, of which the largest, or some, are chosen (Fedus et al. 2021, section 2.1).
 */
export function routersOf(graph: Graph): string[] {
  const constants = graph.constants();
  const learned = (name: string): boolean => {
    const made = graph.producer(name);
    if (!made || constants.has(name)) return false;
    if (PRODUCTS.has(made.op)) return made.inputs.slice(0, 2).some(input => constants.has(input));
    return PASSING.has(made.op) && reads(made).some(learned);
  };
  const isChosenFrom = (name: string): boolean =>
    graph
      .consumers(name)
      .some(node => CHOOSES.has(node.op) || (PASSING.has(node.op) && isChosenFrom(node.outputs[0]!)));
  return graph.nodes.flatMap(node =>
    node.op === 'Softmax' && overExperts(node) && learned(node.inputs[0]!) && isChosenFrom(node.outputs[0]!)
      ? [node.outputs[0]!]
      : [],
  );
}

/** Over the last axis, as all that is written today says it. */
const overExperts = (softmax: GraphNode) => {
  const axis = intAttribute(softmax, 'axis', -1);
  return axis === -1 || axis === 1 || axis === 2;
};
