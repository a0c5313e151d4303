import type { Graph } from '../onnx/graph';

/** Past keys and values of `Attention` (opset 23 on) that come from outside are empty here: the node does without them. */
export function dropEmptyPasts(graph: Graph): void {
  graph.setNodes(
    graph.nodes.map(node => {
      const pasts = node.inputs.slice(4, 6);
      const given = node.op === 'Attention' && node.domain === '' && pasts.some(name => name !== '');
      if (!given || !pasts.every(name => graph.isInput(name))) return node;
      const inputs = node.inputs.map((name, i) => (i === 4 || i === 5 ? '' : name));
      while (inputs.at(-1) === '') inputs.pop();
      const presents = node.outputs.slice(1).filter(name => graph.consumers(name).length > 0);
      return { ...node, inputs, outputs: presents.length > 0 ? node.outputs : node.outputs.slice(0, 1) };
    }),
  );
}
