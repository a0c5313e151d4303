import type { Graph } from '../onnx/graph';
import { graphNode } from '../onnx/readGraph';
import { constantValues, type GraphNode } from '../onnx/node';

/**
 * Replaces If nodes whose branch is known by that branch: constant conditions, and merged decoders, which the
 * inspector always runs without a cache.
 */
export function inlineBranches(graph: Graph): void {
  for (;;) {
    let found = false;
    const nodes = graph.nodes.flatMap(node => {
      const taken = node.op === 'If' && node.domain === '' ? condition(graph, node) : null;
      if (taken === null) return [node];
      found = true;
      return branch(graph, node, taken);
    });
    if (!found) return;
    graph.setNodes(nodes);
  }
}

function condition(graph: Graph, node: GraphNode): boolean | null {
  const name = node.inputs[0]!;
  if (graph.isInput(name)) return name === 'use_cache_branch' ? false : null;
  const values = constantValues(graph.initializers.get(name));
  return values?.length === 1 ? values[0] !== 0 : null;
}

/** The nodes of the branch; its constants become the graph's. */
function branch(graph: Graph, node: GraphNode, taken: boolean): GraphNode[] {
  const body = node.attributes.find(a => a.name === (taken ? 'then_branch' : 'else_branch'))?.g;
  const constants = new Map(
    (body?.initializer ?? []).flatMap(t => (t?.name === undefined ? [] : [[t.name, t] as const])),
  );
  for (const [name, tensor] of constants) graph.initializers.set(name, tensor);
  const nodes: GraphNode[] = [];
  for (const proto of body?.node ?? []) {
    const made = graphNode(proto as never);
    if ('tensor' in made) graph.initializers.set(made.tensor.name!, made.tensor);
    else nodes.push(made);
  }
  node.outputs.forEach((output, i) => {
    const inner = body?.output?.[i]?.name;
    if (output !== '' && inner !== undefined)
      nodes.push({
        op: 'Identity',
        domain: '',
        inputs: [inner],
        outputs: [output],
        attributes: [],
        captures: [],
      });
  });
  return nodes;
}
