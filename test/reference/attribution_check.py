"""Direct attribution of heads on the bundled model, worked out anew in NumPy (float64) from the file's weights and the tensors that ONNX
Runtime gives between its layers; compared with `detail attribution`.

    npx tsx engine/cli.ts detail attribution TEXT --max-tokens 128 --json attribution.json
    python test/reference/attribution_check.py TEXT attribution.json
"""
import json, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
from tokenizers import Tokenizer

FOLDER = 'engine/bundled/prose-2m'
TOLERANCE = 2e-5

model = onnx.load(f'{FOLDER}/onnx/model.onnx')
weights = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in model.graph.initializer}
square = [n for n in model.graph.node if n.op_type == 'MatMul' and n.input[1] in weights and weights[n.input[1]].shape[0] == weights[n.input[1]].shape[1]]
outputs, values = square[3::4], square[2::4]  # q, k, v and the output of each layer
heads = 8
# The sum that the last norm squares.
last = next(n for n in reversed(model.graph.node) if n.op_type == 'Pow' or (n.op_type == 'Mul' and n.input[0] == n.input[1])).input[0]
made = {o for n in model.graph.node for o in n.output}
for name in [n.input[0] for n in outputs] + [n.output[0] for n in values] + [last]:
    if name in made and name not in {o.name for o in model.graph.output}: model.graph.output.append(onnx.ValueInfoProto(name=name))

found = json.load(open(sys.argv[2]))
ids = np.array(Tokenizer.from_file(f'{FOLDER}/tokenizer.json').encode(open(sys.argv[1]).read()).ids[:found['tokens']], np.int64)
session = onnxruntime.InferenceSession(model.SerializeToString())
names = [o.name for o in session.get_outputs()]
tensor = dict(zip(names, (t.astype(np.float64) for t in session.run(names, {'input_ids': ids[None]}))))
stream = tensor[last].reshape(len(ids), -1)
norm, table = weights['n.w'], weights['e.weight']
scale = weights[model.graph.node[-1].input[1]]


def logits(rows):
    return rows / np.sqrt((rows ** 2).mean(-1, keepdims=True) + 1e-6) * norm @ table.T * scale


def of_next(rows):
    all = logits(rows)[:-1]
    own = all[np.arange(len(ids) - 1), ids[1:]]
    top = all.max(-1)
    return own - all.mean(-1), top + np.log(np.exp(all - top[:, None]).sum(-1)) - own


assert np.abs(logits(stream) - tensor['logits'].reshape(len(ids), -1)).max() < 1e-3
dense = of_next(stream)
worst = 0.0
for one in found['result']['heads']:
    core, head = one['core'], one['head']
    weight = weights[outputs[core].input[1]]
    size = weight.shape[0] // heads
    at = slice(head * size, (head + 1) * size)
    part = tensor[outputs[core].input[0]].reshape(len(ids), -1)[:, at] @ weight[at]
    logit, loss = of_next(stream - part)
    value = tensor[values[core].output[0]].reshape(len(ids), -1)[:, at] @ weight[at]
    own = logits(value)
    copying = float(((own >= own[np.arange(len(ids)), ids][:, None]).sum(-1) <= 5).mean())
    worst = max(worst, abs((dense[0] - logit).mean() - one['logit']['delta']), abs((loss - dense[1]).mean() - one['loss']['delta']))
    assert abs(copying - one['copying']) <= 1.5 / len(ids), (core, head, copying, one['copying'])
print(f"{len(found['result']['heads'])} heads; largest difference {worst:.1e}")
assert worst < TOLERANCE
