"""Exports a run to ONNX in the Hugging Face folder layout and checks it against PyTorch.

usage: export.py --data DATA --run RUN --out FOLDER [--context 2048]      a stage of train.py: RUN.pt and RUN.json
       export.py --data DATA --home HOME --before model.onnx --out FOLDER  the last stages (scripts/zoo): writes the model's card too, with what is
                                                                           measured of it and of the model before
"""
import argparse, json, os, shutil, sys
import numpy as np, onnx, torch

parser = argparse.ArgumentParser()
parser.add_argument('--data', required=True); parser.add_argument('--out', required=True); parser.add_argument('--context', type=int, default=2048)
parser.add_argument('--run'); parser.add_argument('--home'); parser.add_argument('--before')
a = parser.parse_args()
# The model is that of scripts/zoo; this folder has an export.py and a train.py too.
here = os.path.dirname(os.path.abspath(__file__))
sys.path[0] = os.path.join(here, '../../../scripts/zoo')
from export import differences, to_onnx, tokenizer
from model import MODELS, LanguageModel, build
from train import load, reach, read_back, validate

STAGES = ['prose', 'prose-long']
if a.run:
    run = json.load(open(a.run + '.json'))
    shape = dict(vocab=4096, layers=6, width=160, heads=8)
    model = LanguageModel(**shape | {k: v for k, v in run['args'].items() if k in shape})
    model.load_state_dict(torch.load(a.run + '.pt', map_location='cpu'))
    log = run['log']
else:
    model = build(STAGES[-1])
    model.load_state_dict(torch.load(f'{a.home}/{STAGES[-1]}/checkpoint.pt', map_location='cpu')['model'])
    log = [dict(stage=stage, log=[json.loads(line) for line in open(f'{a.home}/{stage}/log.jsonl')]) for stage in STAGES]
    earlier = a.out + '/training.json'
    if os.path.exists(earlier): log = [stage for stage in json.load(open(earlier)) if stage['stage'] not in STAGES] + log

os.makedirs(a.out + '/onnx', exist_ok=True)
path = a.out + '/onnx/model.onnx'
onnx.save(to_onnx(model.eval(), 'float32'), path + '.new')
found = differences(path + '.new', model, np.load(a.data + '/val.npy').astype(np.int64)[1000:], (2, 33, 500, 1024, 2048))
print('largest difference to PyTorch, by tokens:', found); assert max(found.values()) < 1e-3


def write(name, value):
    with open(f'{a.out}/{name}', 'w') as f: json.dump(value, f, indent=1)


def measured(model):
    texts = load(a.data)
    return validate(model, MODELS['prose'], texts['val'], int(open(a.data + '/val.bytes').read())) | reach(model, texts['val'])


def card(now, before):
    """What the model's card says, from the template beside this script."""
    rows = [('bits per byte, windows of 512 tokens', 'bitsPerByte', None)]
    rows += [(f'second copy of a passage of {n} tokens (the first copy)', f'twice{n}', None) for n in (128, 256, 700)]
    rows += [(f'second copy of {n} random tokens', f'random{n}', None) for n in (25, 50, 128)]
    rows += [(f'the same 128 tokens with {n:,} before them', 'context', n) for n in (64, 256, 512, 1000, 1500)]
    value = lambda found, key, n: found[key][n] if n else found[key]
    say = lambda v: f'{v[1]:.2f} ({v[0]:.2f})' if isinstance(v, list) else f'{v:.3f}'
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
