"""Says with which mechanism the attention of an ONNX model was made, for Attention Inspector (docs/native.md).

As a program it looks for the attention of a file and writes a draft of attention.json beside it:

    pip install onnx
    python declare.py model.onnx --mechanism entmax --params '{"alpha": 2}' [--tensors '{"alpha": "layers.{i}.alpha"}']

`{i}` in the name of a tensor is the number of the core. As a module: `core(...)` and `write(...)`, for exports whose tensor names are known.
What is written says nothing of whether it is true: `attention-inspector models verify model.onnx` computes the model with the mechanism and compares.
"""
import argparse, json, os


def core(mechanism, q, k, v, context, params=None, tensors=None, causal=True, scale=None, turned_keys=False):
    """One core. q, k, v, context: names of tensors of the graph, [1, heads, tokens, dim]; tensors: the mechanism's name for a learned
    tensor, and the initialiser that holds it or the numbers themselves; scale: of the scores, 1 / sqrt(dim) where none is given;
    turned_keys: k is [1, heads, dim, tokens]."""
    found = dict(mechanism=mechanism, q=q, k=k, v=v, context=context, causal=bool(causal), params=dict(params or {}), tensors=dict(tensors or {}))
    if turned_keys: found['turnedKeys'] = True
    return found if scale is None else dict(found, scale=float(scale))


def write(folder, cores):
    """Writes attention.json into the model's folder; returns its path."""
    path = os.path.join(folder, 'attention.json')
    with open(path, 'w') as f:
        json.dump({'cores': list(cores)}, f, indent=1)
        f.write('\n')
    return path


def products(model):
    """(q, k, v, context, whether k is turned) of every pair of products of the form (something of q k^T) v, in the graph's order.

    Of each product of two tensors that depend on the text, the left operand is followed back to the nearest such product.
    k is taken before it is turned where a Transpose of its own does that."""
    graph = model.graph
    producer = {o: n for n in graph.node for o in n.output}
    constant = {i.name for i in graph.initializer} | {o for n in graph.node if n.op_type == 'Constant' for o in n.output}
    for n in graph.node:
        if n.input and all(i in constant or not i for i in n.input): constant.update(n.output)
    is_product = lambda n: n is not None and n.op_type == 'MatMul' and not any(i in constant for i in n.input)

    def product_behind(name):
        front, seen = [name], set()
        while front:
            name = front.pop(0)
            node = producer.get(name)
            if node is None or id(node) in seen: continue
            seen.add(id(node))
            if is_product(node): return node
            front += [i for i in node.input if i and i not in constant]
        return None

    found = []
    for node in graph.node:
        if not is_product(node): continue
        scores = product_behind(node.input[0])
        if scores is None or any(c[3] == scores.output[0] for c in found): continue
        turned = producer.get(scores.input[1])
        plain = turned is not None and turned.op_type == 'Transpose' and is_last_two(turned)
        found.append((scores.input[0], turned.input[0] if plain else scores.input[1], node.input[1], node.output[0], not plain))
    return found


def is_last_two(node):
    """Whether a Transpose swaps the last two axes only, so that what goes in is [1, heads, tokens, dim]."""
    perm = next((list(a.ints) for a in node.attribute if a.name == 'perm'), [])
    return perm == [0, 1, 3, 2]


def main():
    import onnx
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model'); parser.add_argument('--mechanism', required=True)
    parser.add_argument('--params', type=json.loads, default={}); parser.add_argument('--tensors', type=json.loads, default={})
    parser.add_argument('--not-causal', action='store_true'); parser.add_argument('--scale', type=float)
    a = parser.parse_args()
    found = products(onnx.load(a.model, load_external_data=False))
    if not found: raise SystemExit('No attention was found: write attention.json by hand, with names of tensors as a viewer shows them.')
    fill = lambda value, i: value.replace('{i}', str(i)) if isinstance(value, str) else value
    cores = [core(a.mechanism, *names, a.params, {t: fill(v, i) for t, v in a.tensors.items()}, not a.not_causal, a.scale, turned) for i, (*names, turned) in enumerate(found)]
    print(write(os.path.dirname(os.path.abspath(a.model)), cores), f'with {len(cores)} cores; now: attention-inspector models verify {a.model}')


if __name__ == '__main__': main()
