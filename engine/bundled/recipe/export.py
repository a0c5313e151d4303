"""Exports a run to ONNX in the Hugging Face folder layout and checks it against PyTorch.

usage: export.py --data DATA --run RUN --out FOLDER
"""
import argparse, json, os, shutil, sys
import numpy as np, onnx, torch

ap = argparse.ArgumentParser()
ap.add_argument('--data', required=True); ap.add_argument('--run', required=True); ap.add_argument('--out', required=True); ap.add_argument('--context', type=int, default=2048)
a = ap.parse_args()
# The model is that of scripts/zoo; this folder has an export.py too.
sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../scripts/zoo')
from export import differences, to_onnx
from model import LanguageModel
run = json.load(open(a.run + '.json')); args = run['args']
shape = dict(vocab=4096, layers=6, width=160, heads=8) | {k: args[k] for k in ('vocab', 'layers', 'width', 'heads') if k in args}
model = LanguageModel(**shape).eval()
model.load_state_dict(torch.load(a.run + '.pt', map_location='cpu'))
os.makedirs(a.out + '/onnx', exist_ok=True)
onnx.save(to_onnx(model, 'float32'), a.out + '/onnx/model.onnx')
found = differences(a.out + '/onnx/model.onnx', model, np.load(a.data + '/val.npy').astype(np.int64)[1000:], (2, 33, 500, 1024, 2048))
print('largest difference to PyTorch, by tokens:', found); assert max(found.values()) < 1e-3
shutil.copy(a.data + '/tokenizer.json', a.out)
context = a.context
json.dump({'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': '<|endoftext|>', 'model_max_length': context}, open(a.out + '/tokenizer_config.json', 'w'), indent=1)
json.dump({'model_type': 'decoder', 'vocab_size': shape['vocab'], 'hidden_size': shape['width'], 'num_hidden_layers': shape['layers'], 'num_attention_heads': shape['heads'],
           'head_dim': shape['width'] // shape['heads'], 'max_position_embeddings': context, 'rope_theta': 10000.0, 'rms_norm_eps': 1e-6, 'hidden_act': 'silu',
           'tie_word_embeddings': True}, open(a.out + '/config.json', 'w'), indent=1)
json.dump(run['log'], open(a.out + '/training.json', 'w'), indent=1)
