"""Value weights of a head and attention rollout on the bundled model, worked out anew in NumPy (float64) from the file's weights and the
probabilities and values that ONNX Runtime gives; compared with `detail values` and `detail rollout`.

    npx tsx engine/cli.ts detail values TEXT --max-tokens 128 --head 3.4 --json values.json
    npx tsx engine/cli.ts detail rollout TEXT --max-tokens 128 --tokens 5,last --json rollout.json
    python test/reference/values_rollout_check.py TEXT values.json rollout.json
"""
import json, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
from tokenizers import Tokenizer

FOLDER = 'engine/bundled/prose-2m'
TOLERANCE = 2e-5
HEADS = 8

model = onnx.load(f'{FOLDER}/onnx/model.onnx')
weights = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in model.graph.initializer}
square = [n for n in model.graph.node if n.op_type == 'MatMul' and n.input[1] in weights and weights[n.input[1]].shape[0] == weights[n.input[1]].shape[1]]
outputs, values = square[3::4], square[2::4]  # q, k, v and the output of each layer
softmax = [n.output[0] for n in model.graph.node if n.op_type == 'Softmax']
for name in [n.output[0] for n in values] + softmax: model.graph.output.append(onnx.ValueInfoProto(name=name))

found_values, found_rollout = (json.load(open(path)) for path in sys.argv[2:4])
ids = np.array(Tokenizer.from_file(f'{FOLDER}/tokenizer.json').encode(open(sys.argv[1]).read()).ids[:found_values['tokens']], np.int64)
session = onnxruntime.InferenceSession(model.SerializeToString())
names = [o.name for o in session.get_outputs()]
tensor = dict(zip(names, (t.astype(np.float64) for t in session.run(names, {'input_ids': ids[None]}))))
attention = [tensor[name].reshape(HEADS, len(ids), len(ids)) for name in softmax]
assert all(np.abs(layer.sum(-1) - 1).max() < 1e-5 for layer in attention)


def difference_of(found, wanted):
    """Absolute up to 1, relative above."""
    return (np.abs(np.array(found) - wanted) / np.maximum(1, np.abs(wanted))).max()


result = found_values['result']
core, head = result['core'], result['head']
weight = weights[outputs[core].input[1]]
size = weight.shape[0] // HEADS
at = slice(head * size, (head + 1) * size)
norms = np.linalg.norm(tensor[values[core].output[0]].reshape(len(ids), -1)[:, at] @ weight[at], axis=-1)
sums = attention[core][head] @ norms
assert result['projected']
difference = max(difference_of(result['norms'], norms), difference_of(result['sums'], sums))
print(f'values of head {core}.{head}, norms {norms.min():.2f} to {norms.max():.2f}: largest difference {difference:.1e}')
assert difference < TOLERANCE

product = np.eye(len(ids))
for layer in attention: product = (layer.mean(0) + np.eye(len(ids))) / 2 @ product
result = found_rollout['result']
difference = difference_of(result['rows'], product[result['tokens']])
print(f"rollout of tokens {result['tokens']}: largest difference {difference:.1e}")
assert difference < TOLERANCE
