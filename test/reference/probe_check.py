"""Checks the ablations of `heads --probe` on the bundled model without our engine: a head is silenced by zeros in the rows of the
output projection that read it, and the altered file runs in ONNX Runtime.

    npx tsx engine/cli.ts heads --probe --json probe.json && python test/reference/probe_check.py probe.json

Compares every head of the induction circuit, and the head that costs most of all, on the words of the probe; then says the costs of the
circuit on other random words, drawn here. With --variations also what its first head costs on fewer or more words and repeats, and on any tokens.
"""
import json, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper

MODEL = 'engine/bundled/prose-2m/onnx/model.onnx'
TOLERANCE = 1e-4
WORDS, REPEATS = 128, 4

probe = json.load(open(sys.argv[1]))
model = onnx.load(MODEL)
weights = {one.name: one for one in model.graph.initializer}
square = [n.input[1] for n in model.graph.node if n.op_type == 'MatMul' and n.input[1] in weights and len(set(weights[n.input[1]].dims)) == 1]
projections = square[3::4]  # q, k, v and the output of each layer
heads = probe['model']['heads'][0] if isinstance(probe['model']['heads'], list) else probe['model']['heads']
print(f'{len(projections)} output projections, {heads} heads each')


def losses(changed, ids):
    """Loss of every token but the first, in float64 from the logits."""
    options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(changed.SerializeToString(), options)
    logits = session.run(None, {'input_ids': ids[None]})[0][0].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return (np.log(np.exp(logits).sum(-1)) [:-1] - logits[np.arange(len(ids) - 1), ids[1:]])


def without(core, head):
    changed = onnx.ModelProto(); changed.CopyFrom(model)
    name = projections[core]
    target = next(one for one in changed.graph.initializer if one.name == name)
    weight = numpy_helper.to_array(target).copy()
    size = weight.shape[0] // heads
    weight[head * size:(head + 1) * size] = 0
    target.CopyFrom(numpy_helper.from_array(weight, name))
    return changed


def costs(ids, which, words=WORDS):
    # Words are said again from the second time on; the loss of token t + 1 stands at t, and the first token is no word.
    again = slice(words, None)
    whole = losses(model, ids)[again]
    return [float((losses(without(*one), ids)[again] - whole).mean()) for one in which]


circuit = probe['circuit']['heads']
named = [probe['heads'][0]] + circuit
ids = np.array(probe['ids'], np.int64)
assert len(ids) == 1 + WORDS * REPEATS, len(ids)
said_over = lambda words, repeats: np.concatenate([ids[:1], np.tile(words, repeats)])
worst = 0.0
for one, delta in zip(named, costs(ids, [(one['core'], one['head']) for one in named])):
    said = one['ablation']['zero']['delta']
    worst = max(worst, abs(said - delta))
    print(f"{one['core']}.{one['head']} {one.get('part', one['roles'][0]['role'])}: {delta:+.4f}, the probe says {said:+.4f}")
print(f'largest difference {worst:.1e} nats')
assert worst < TOLERANCE

vocabulary = weights['e.weight'].dims[0]
for seed in (11, 12, 13):
    words = np.random.default_rng(seed).choice(np.arange(1, vocabulary), WORDS, replace=False).astype(np.int64)
    found = sorted(zip(costs(said_over(words, REPEATS), [(one['core'], one['head']) for one in circuit]), circuit), key=lambda pair: -pair[0])
    (most, first), (other, second) = found[:2]
    print(f"other words ({seed}): {first['core']}.{first['head']} ({first['part']}, layer {first['layer']}) {most:+.2f}, then {second['core']}.{second['head']} {other:+.2f}")
    assert (first['part'], first['layer']) == ('previous', 2)

if '--variations' in sys.argv:
    first = (circuit[0]['core'], circuit[0]['head'])
    print(f'without {first[0]}.{first[1]}, of what was said before:')
    said = ids[1:1 + WORDS]
    drawn = lambda count, seed: np.random.default_rng(seed).choice(np.arange(1, vocabulary), count, replace=False).astype(np.int64)
    for count in (16, 32, 64, 128, 256):
        kinds = ([('words of the probe', said[:count])] if count <= WORDS else []) + [(f'any tokens ({seed})', drawn(count, seed)) for seed in (1, 2, 3)]
        for kind, block in kinds:
            print(f'{count} {kind}:', ', '.join(f'{repeats} times {costs(said_over(block, repeats), [first], count)[0]:+.2f}' for repeats in (2, 4)))
