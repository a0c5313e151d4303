"""Exports a trained model to ONNX in the Hugging Face layout, and checks it against PyTorch in ONNX Runtime.

usage: export.py NAME --out FOLDER [--home FOLDER] [--weights float16|int8|int6|float32] [--tokens N]     (FOLDER/NAME is written)
--tokens: the checkpoint that was kept there (train.py).
The mechanism is an ONNX function of its own: domain `attention_inspector`, name of the mechanism, inputs q, k, v and its learned tensors, settings as
attributes, plain operators as its body, which any runtime puts in its place. Dense attention is written plainly. Weights are float16 (of
the larger models int8, a scale for each row), cast to float32 where they are used. int6 stands in the file as int8 too, of which a package packs a quarter away.
"""
import json, os
import numpy as np, onnx, onnxruntime as ort, torch
from onnx import helper, numpy_helper
from tokenizers import Tokenizer, processors
import data
from model import MODELS, Attention, ChunkedCross, Switch, build
from train import target

SMALL = 1024  # tensors below this many elements stay float32
DOMAIN = 'attention_inspector'
LEVELS = {'int8': 127, 'int6': 31}  # whole numbers up to this, either side of 0


class Core(torch.nn.Module):
    def __init__(self, owner):
        super().__init__()
        self.owner = owner

    def forward(self, *inputs): return self.owner.core(*inputs)


def examples(owner, n=37):
    """Inputs of a core: names, tensors, and which axes follow the tokens."""
    if isinstance(owner, Switch):
        names = ['x', 'router', *(f'{w}_{i}' for i in range(owner.experts) for w in ('gate', 'up', 'down'))]
        width = owner.router.in_features
        return names, [torch.randn(1, n, width), *owner.weights()], [{1: 'tokens'}] + [{}] * (len(names) - 1)
    dim = owner.q.weight.shape[0] // owner.h
    if isinstance(owner, ChunkedCross):
        kv = [torch.randn(1, 3, owner.h, 2 * 2 * owner.settings['chunk'], dim) for _ in 'kv']
        return ['q', 'k', 'v'], [torch.randn(1, owner.h, 2 * owner.settings['chunk'] + 9, dim), *kv], [{2: 'tokens'}, {1: 'slots'}, {1: 'slots'}]
    q = torch.randn(1, owner.h, n, dim)
    tensors = owner.tensors(q) if not hasattr(owner, 'relative') else dict(r=owner.relative(q, n), u=owner.u, v_bias=owner.v_bias)
    if hasattr(owner, 'compress'): tensors |= dict(slot_k=torch.randn(1, owner.h, -(-n // 4), dim), slot_v=torch.randn(1, owner.h, -(-n // 4), dim))
    axes = dict(r={1: 'tokens'}, slot_k={2: 'slots'}, slot_v={2: 'slots'})
    return ['q', 'k', 'v', *tensors], [q, torch.randn_like(q), torch.randn_like(q), *(t.detach() for t in tensors.values())], [{2: 'tokens'}] * 3 + [axes.get(t, {}) for t in tensors]


def function(owner, attributes):
    """The core as an ONNX function: exported by itself, its constants moved into its body."""
    names, tensors, axes = examples(owner)
    dims = dict(tokens=torch.export.Dim('tokens', min=2, max=8192), slots=torch.export.Dim('slots', min=1, max=8192))
    shapes = tuple({axis: dims[d] for axis, d in a.items()} for a in axes)
    model = torch.onnx.export(Core(owner).eval(), tuple(tensors), dynamo=True, dynamic_shapes=(shapes,), input_names=names, output_names=['context'], verbose=False).model_proto
    strip(model.graph)
    constants = [helper.make_node('Constant', [], [i.name], value=i) for i in model.graph.initializer]
    f = helper.make_function(DOMAIN, owner.name, [i.name for i in model.graph.input], [o.name for o in model.graph.output],
                             [*constants, *model.graph.node], list(model.opset_import), attributes=sorted(attributes))
    assert list(f.input) == names, f'{owner.name}: inputs {list(f.input)}'
    return f


def strip(graph):
    """The exporter writes the stack of the exporting machine beside every node and value."""
    for node in graph.node: del node.metadata_props[:]; node.doc_string = ''
    for value in [*graph.value_info, *graph.input, *graph.output, *graph.initializer]: del value.metadata_props[:]
    del graph.metadata_props[:]


def round_weights(model, weights):
    """Makes the weights exact in the type that they are to have in the file."""
    with torch.no_grad():
        for p in model.parameters():
            if p.numel() < SMALL: continue
            if weights in LEVELS and p.dim() == 2: p.copy_((p / (scale := p.abs().amax(1, keepdim=True).clamp_min(1e-12) / LEVELS[weights])).round() * scale)
            elif weights != 'float32': p.copy_(p.half().float())


def narrow(value, levels):
    """A matrix as int8 with a scale for each row or each column (the exporter transposes some), or None where neither gives it back."""
    for axis in (0, 1):
        scale = np.maximum(np.abs(value).max(1 - axis, keepdims=True), 1e-12) / np.float32(levels)
        whole = np.round(value / scale)
        if np.abs(whole * scale - value).max() < 1e-6 * np.abs(value).max(): return whole.astype(np.int8), scale.astype(np.float32)
    return None


def pack(model, weights):
    """Writes the large weights as float16 or int8; they are cast back where they are used. The values stay the same: they were rounded before."""
    if weights == 'float32': return
    nodes, more = [], []
    for i in model.graph.initializer:
        value = numpy_helper.to_array(i)
        if value.dtype != np.float32 or value.size < SMALL: continue
        name = i.name
        if weights in LEVELS and value.ndim == 2 and (found := narrow(value, LEVELS[weights])):
            whole, scale = found
            i.CopyFrom(numpy_helper.from_array(whole, name + '.int8'))
            more += [numpy_helper.from_array(scale, name + '.scale')]
            # Not DequantizeLinear: ONNX Runtime would join it with the product and round the activations to 8 bits too.
            nodes.append(helper.make_node('Cast', [name + '.int8'], [name + '.whole'], to=onnx.TensorProto.FLOAT))
            nodes.append(helper.make_node('Mul', [name + '.whole', name + '.scale'], [name]))
        else:
            i.CopyFrom(numpy_helper.from_array(value.astype(np.float16), name + '.f16'))
            nodes.append(helper.make_node('Cast', [name + '.f16'], [name], to=onnx.TensorProto.FLOAT))
    model.graph.initializer.extend(more)
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def to_onnx(model, weights='float16'):
    """An ONNX model of a trained PyTorch model, whose weights are rounded on the way."""
    model = model.eval()
    round_weights(model, weights)
    owners = [m for m in model.modules() if isinstance(m, (Attention, Switch)) and m.native]
    for m in owners:
        m.exporting = True
        if isinstance(m, Attention): m.freeze()
    vocab = model.e.num_embeddings
    tokens = torch.export.Dim('tokens', min=2, max=model.p.num_embeddings if hasattr(model, 'p') else 4096)
    proto = torch.onnx.export(model, (torch.randint(1, min(vocab, data.VOCAB), (1, 37)),), dynamo=True, dynamic_shapes=({1: tokens},),
                              input_names=['input_ids'], output_names=['logits'], verbose=False).model_proto
    for m in owners: m.exporting = False
    strip(proto.graph)
    del proto.metadata_props[:]
    by_name = {m.name.replace('-', '_'): m for m in owners}
    found = {}
    for node in proto.graph.node:
        if node.domain != DOMAIN: continue
        owner = by_name[node.op_type]
        node.op_type = owner.name
        found.setdefault(owner.name, (owner, [a.name for a in node.attribute]))
    for owner, attributes in found.values(): proto.functions.append(function(owner, attributes))
    if found and not any(o.domain == DOMAIN for o in proto.opset_import): proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    pack(proto, weights)
    del proto.graph.value_info[:]
    return proto


def differences(path, model, ids, lengths):
    """Largest difference of the logits to PyTorch's, for each length."""
    session = ort.InferenceSession(path)
    result = {}
    for n in lengths:
        x = ids[:n][None]
        with torch.no_grad(): expected = model.eval()(torch.from_numpy(x)).numpy()
        result[n] = float(np.abs(session.run(None, {'input_ids': x})[0] - expected).max())
    return result


def tokenizer(folder, encoder):
    t = Tokenizer.from_file(folder + '/tokenizer.json')
    if encoder:
        t.add_special_tokens(['[MASK]', '[CLS]', '[SEP]'])
        template = processors.TemplateProcessing(single='[CLS] $A [SEP]', special_tokens=[('[CLS]', data.CLS), ('[SEP]', data.SEP)])
    else: template = processors.TemplateProcessing(single='<|endoftext|> $A', special_tokens=[('<|endoftext|>', data.FIRST)])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return t


CARD = """---
license: mit
language: en
pipeline_tag: {task}
---

# zoo/{name}

{title}: {about}

One of the models of Attention Inspector's zoo: {parameters:,} parameters, {layers} layers of {heads} heads of {dim}, byte-level BPE of {vocab:,}, trained on
{tokens:,} tokens of public-domain English books (windows of 512 tokens, seed {seed}). {windows} Small and weak, here to be looked at.

| measured on books it never saw | |
| --- | --- |
| nats per token | {validation} |
{bits}
`onnx/model.onnx`: input `input_ids` [1, tokens], output `logits`; {precision}. {mechanism}
`training.json` is the log. Recipe: `scripts/zoo` of the extension's repository.
"""


def main():
    parser = data.arguments(__doc__)
    parser.add_argument('name', choices=list(MODELS)); parser.add_argument('--out', required=True); parser.add_argument('--weights', choices=['float16', *LEVELS, 'float32'])
    parser.add_argument('--tokens', type=float, help='the checkpoint that was kept there')
    a = parser.parse_args()
    spec = MODELS[a.name]
    goal = target(spec, a.tokens)
    kept = f'at-{goal}.pt' if goal < spec['tokens'] else 'checkpoint.pt'
    saved = torch.load(f'{a.home}/{a.name}/{kept}', map_location='cpu')
    model = build(a.name); model.load_state_dict(saved['model'])
    folder = os.path.join(a.out, a.name); os.makedirs(folder + '/onnx', exist_ok=True)
    parameters = sum(p.numel() for p in model.parameters())
    path = folder + '/onnx/model.onnx'
    weights = a.weights or spec.get('weights', 'float16')
    proto = to_onnx(model, weights)
    onnx.save(proto, path + '.new')
    ids = np.load(a.home + '/data/val.npy').astype(np.int64)[3000:]
    longest = spec.get('longest', 512)
    found = differences(path + '.new', model, ids, (37, 130, longest) if not model.recurrent else (37, 130, 512, 1100))
    print(a.name, 'largest difference to PyTorch, by tokens:', found)
    assert max(found.values()) < 1e-3
    os.replace(path + '.new', path)
    encoder = spec['kind'] == 'encoder'
    tokenizer(a.home + '/data', encoder).save(folder + '/tokenizer.json')
    context = 2048 if model.recurrent else longest
    log = [json.loads(line) for line in open(f'{a.home}/{a.name}/log.jsonl')]
    log = [line for line in log if line['tokens'] <= saved['tokens']]
    attention = model.b[0].a
    width, heads = model.n.w.shape[0], attention.h

    def write(name, value):
        with open(f'{folder}/{name}', 'w') as f: json.dump(value, f, indent=1); f.write('\n')

    write('tokenizer_config.json', {'tokenizer_class': 'PreTrainedTokenizerFast', 'model_max_length': context,
                                    **({'mask_token': '[MASK]', 'cls_token': '[CLS]', 'sep_token': '[SEP]'} if encoder else {'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>'})})
    write('config.json', {'title': spec['title'], 'model_type': 'encoder' if encoder else 'decoder', 'vocab_size': model.e.num_embeddings, 'hidden_size': width, 'num_hidden_layers': model.layers,
                          'num_attention_heads': heads, 'head_dim': width // heads, 'max_position_embeddings': context, 'rms_norm_eps': 1e-6, 'hidden_act': 'silu', 'tie_word_embeddings': True,
                          **({'rope_theta': 10000.0} if attention.positions == 'rotary' else {}),
                          'attention_mechanism': {'name': attention.name, 'trained_with': True, **attention.settings}})
    write('training.json', dict(model=a.name, seed=1, settings={k: str(v) if not isinstance(v, (int, float, str)) else v for k, v in spec.items() if k not in ('model', 'kind_of_model')}, log=log))
    last = log[-1]
    about = ' '.join(((type(attention).__doc__ if attention.native else None) or (Switch.__doc__ if spec.get('model', {}).get('switch') else None) or 'softmax attention.').split())
    bits = f"| bits per byte | {last['bitsPerByte']} |\n" if 'bitsPerByte' in last else ''
    with open(folder + '/README.md', 'w') as f:
        f.write(CARD.format(task='fill-mask' if encoder else 'text-generation', name=a.name, title=spec['title'], about=about, parameters=parameters, layers=model.layers, heads=heads,
                            dim=width // heads, vocab=data.VOCAB, tokens=saved['tokens'], seed=1, validation=last['validation'], bits=bits,
                            windows='The other models of the zoo saw the same number of tokens in plain order: windows at random, the same in all.' if 'order' in spec else 'All models of the zoo saw the same windows.',
                            precision='float32' if weights == 'float32' else f'weights {weights}, computed in float32',
                            mechanism='Its mechanism is an ONNX function of domain `attention_inspector` whose body is plain operators.' if proto.functions else ''))
    print(folder, os.path.getsize(path), 'bytes')


if __name__ == '__main__': main()
