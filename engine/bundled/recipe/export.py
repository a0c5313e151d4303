"""Exports a run to ONNX in the Hugging Face folder layout and checks it against PyTorch.

usage: export.py --data DATA --run RUN --out FOLDER [--context 2048]      a stage of train.py: RUN.pt and RUN.json
       export.py --data DATA --home HOME --before model.onnx --out FOLDER  the last stages (scripts/zoo): writes the model's card too, with what is
                                                                           measured of it and of the model before; a training.json in FOLDER
                                                                           keeps the stages that HOME has no log of
"""
import argparse, json, os, shutil, sys
import numpy as np, onnx, torch
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument('--data', required=True); parser.add_argument('--out', required=True); parser.add_argument('--context', type=int, default=2048)
parser.add_argument('--run'); parser.add_argument('--home'); parser.add_argument('--before')
a = parser.parse_args()
# The model is that of scripts/zoo; this folder has an export.py and a train.py too.
here = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.join(here, '../../../scripts/zoo')
import data
from export import differences, to_onnx, tokenizer
from model import MODELS, LanguageModel, build
from train import CONTEXTS, in_context, load, reach, read_back, validate

STAGES = ['prose', 'prose-long', 'prose-longer']
if a.run:
    run = json.load(open(a.run + '.json'))
    shape = dict(vocab=4096, layers=6, width=160, heads=8)
    model = LanguageModel(**shape | {k: v for k, v in run['args'].items() if k in shape})
    model.load_state_dict(torch.load(a.run + '.pt', map_location='cpu'))
    log = run['log']
else:
    model = build(STAGES[-1])
    model.load_state_dict(torch.load(f'{a.home}/{STAGES[-1]}/checkpoint.pt', map_location='cpu')['model'])
    logs = {stage: f'{a.home}/{stage}/log.jsonl' for stage in STAGES}
    own = [dict(stage=stage, log=[json.loads(line) for line in open(path)]) for stage, path in logs.items() if os.path.exists(path)]
    # Those of earlier stages stand in the file that is written anew.
    earlier = a.out + '/training.json'
    kept = json.load(open(earlier)) if os.path.exists(earlier) else []
    log = [stage for stage in kept if stage['stage'] not in [one['stage'] for one in own]] + own

os.makedirs(a.out + '/onnx', exist_ok=True)
path = a.out + '/onnx/model.onnx'
onnx.save(to_onnx(model.eval(), 'float32'), path + '.new')
found = differences(path + '.new', model, np.load(a.data + '/val.npy').astype(np.int64)[1000:], (2, 33, 500, 1024, 2048))
print('largest difference to PyTorch, by tokens:', found); assert max(found.values()) < 1e-3


def write(name, value):
    with open(f'{a.out}/{name}', 'w') as f: json.dump(value, f, indent=1)


def measured(model):
    val = load(a.data)['val']
    found = validate(model, MODELS['prose'], val, int(open(a.data + '/val.bytes').read()))
    losses = in_context(model.eval(), val, step=1_800)
    return found | reach(model, val, losses=losses) | differences_of(model.eval(), val, losses)


@torch.no_grad()
def differences_of(model, val, losses):
    """Paired differences, each with its 95 % interval over places: of the same targets with more before them, and of the copies of a passage."""
    found = {f'more{more}': interval(np.subtract(losses[more], losses[less])) for less, more in zip(CONTEXTS, CONTEXTS[1:])}
    copies = []
    for at in range(3000, len(val) - 1400, len(val) // 30):
        x = torch.from_numpy(np.concatenate([[data.FIRST], val[at:at + 700], val[at:at + 700]]).astype(np.int64))[None]
        loss = F.cross_entropy(model(x[:, :-1])[0], x[0, 1:], reduction='none').numpy()
        copies.append(loss[701:].mean() - loss[:700].mean())
    return found | dict(below700=interval(np.array(copies)))


def interval(values):
    """The mean, and how far to either side (Student's quantile, to two digits)."""
    n = len(values)
    return dict(mean=float(values.mean()), half=float((1.96 + 2.4 / (n - 1)) * values.std(ddof=1) / n ** 0.5), places=n)


def card(now, before):
    """What the model's card says, from the template beside this script."""
    rows = [('bits per byte, windows of 512 tokens', 'bitsPerByte', None)]
    rows += [(f'second copy of a passage of {n} tokens (the first copy)', f'twice{n}', None) for n in (128, 256, 700)]
    rows += [(f'second copy of {n} random tokens', f'random{n}', None) for n in (25, 50, 128)]
    rows += [(f'the same 128 tokens with {n:,} before them', 'context', n) for n in CONTEXTS]
    rows += [(f'{more:,} tokens before them less {less:,}', f'more{more}', None) for less, more in zip(CONTEXTS, CONTEXTS[1:])]
    rows += [('second copy of 700 tokens less the first', 'below700', None)]
    value = lambda found, key, n: found[key][n] if n else found[key]

    def say(v):
        if isinstance(v, dict): return f"{v['mean']:+.3f} ({v['mean'] - v['half']:+.3f} to {v['mean'] + v['half']:+.3f}; {v['places']} places)"
        return f'{v[1]:.2f} ({v[0]:.2f})' if isinstance(v, list) else f'{v:.3f}'

    table = '\n'.join(f'| {title} | {say(value(before, key, n))} | {say(value(now, key, n))} |' for title, key, n in rows)
    return open(here + '/card.md').read().replace('{measured}', table)


if a.home:
    write('training.json', log)
    old = build('prose'); old.load_state_dict(read_back(a.before, old))
    text = card(measured(model), measured(old))
    with open(a.out + '/README.md', 'w') as f: f.write(text)
    tokenizer(a.data, encoder=False).save(a.out + '/tokenizer.json')
else:
    write('training.json', log)
    shutil.copy(a.data + '/tokenizer.json', a.out)
os.replace(path + '.new', path)
write('tokenizer_config.json', {'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': '<|endoftext|>', 'eos_token': '<|endoftext|>', 'model_max_length': a.context})
width, heads = model.n.w.shape[0], model.b[0].a.h
write('config.json', {'model_type': 'decoder', 'vocab_size': model.e.num_embeddings, 'hidden_size': width, 'num_hidden_layers': model.layers, 'num_attention_heads': heads,
                      'head_dim': width // heads, 'max_position_embeddings': a.context, 'rope_theta': 10000.0, 'rms_norm_eps': 1e-6, 'hidden_act': 'silu', 'tie_word_embeddings': True})
