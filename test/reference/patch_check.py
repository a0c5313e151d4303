"""Checks `detail patch --part residual` on the bundled model without our engine: a `Where` in the ONNX graph puts the other text's
residual stream in before a layer, at one token, and the altered file runs in ONNX Runtime.

    npx tsx engine/cli.ts detail patch a.txt --from b.txt --part residual --answers 300,400 --json patch.json && python test/reference/patch_check.py a.txt b.txt patch.json

Needs onnx, onnxruntime and tokenizers.
"""
import json, sys
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper
from tokenizers import Tokenizer

FOLDER = 'engine/bundled/prose-2m'
TOLERANCE = 1e-4

model = onnx.load(f'{FOLDER}/onnx/model.onnx')
tokenizer = Tokenizer.from_file(f'{FOLDER}/tokenizer.json')
own, other = (np.array(tokenizer.encode(open(path, encoding='utf8').read()).ids, np.int64) for path in sys.argv[1:3])
patch = json.load(open(sys.argv[3]))
found, tokens = patch['result'], patch['tokens']
assert len(own) == len(other) == tokens, (len(own), len(other), tokens)

readers = {}
for node in model.graph.node:
    for name in node.input: readers.setdefault(name, []).append(node)
# The stream is what is normed and added to as well: behind the embedding, each attention and each feed-forward layer.
stream = [o for n in model.graph.node for o in n.output if len(readers.get(o, [])) > 1 and any(r.op_type == 'Add' for r in readers[o])]
before = stream[::2]
layers = max(one['layer'] for one in found['cells']) + 1
assert len(before) == layers, (len(before), layers)


def session(changed):
    options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(changed.SerializeToString(), options)


def patched(name):
    changed = onnx.ModelProto(); changed.CopyFrom(model)
    for node in changed.graph.node:
        for at, read in enumerate(node.input):
            if read == name: node.input[at] = 'patched'
    made = next(at for at, node in enumerate(changed.graph.node) if name in node.output)
    changed.graph.node.insert(made + 1, helper.make_node('Where', ['mask', 'rows', name], ['patched']))
    changed.graph.input.extend([helper.make_tensor_value_info('mask', TensorProto.BOOL, [1, None, 1]), helper.make_tensor_value_info('rows', TensorProto.FLOAT, [1, None, None])])
    return session(changed)


whole = onnx.ModelProto(); whole.CopyFrom(model)
whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in before)
states = session(whole).run(before, {'input_ids': other[None]})
ids = [found['answers'][which]['id'] for which in ('own', 'other')]
losses = lambda logits: np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1))[:-1] - (logits - logits.max(-1, keepdims=True))[np.arange(tokens - 1), own[1:]]
run = lambda one, feeds: one.run(None, {'input_ids': own[None], **feeds})[0][0].astype(np.float64)
plain = losses(run(session(model), {}))
worst = {'difference': 0.0, 'loss': 0.0}
for layer in range(layers):
    one = patched(before[layer])
    for cell in (cell for cell in found['cells'] if cell['layer'] == layer):
        mask = (np.arange(tokens) == cell['token'])[None, :, None]
        logits = run(one, {'mask': mask, 'rows': states[layer]})
        row = logits[found['at']]
        worst['difference'] = max(worst['difference'], abs(row[ids[1]] - row[ids[0]] - cell['difference']))
        worst['loss'] = max(worst['loss'], abs((losses(logits) - plain).mean() - cell['loss']['delta']))
print(f"{len(found['cells'])} cells; largest differences: {worst['difference']:.1e} of the logits' difference, {worst['loss']:.1e} nats")
assert max(worst.values()) < TOLERANCE
