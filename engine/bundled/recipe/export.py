"""Exports a run to ONNX in the Hugging Face folder layout and checks it against PyTorch.

usage: export.py --data DATA --run RUN --out FOLDER
"""
import argparse, json, os, shutil
import numpy as np, onnx, onnxruntime as ort, torch
from model import LanguageModel

ap = argparse.ArgumentParser()
ap.add_argument('--data', required=True); ap.add_argument('--run', required=True); ap.add_argument('--out', required=True); ap.add_argument('--context', type=int, default=2048)
a = ap.parse_args()
run = json.load(open(a.run + '.json')); args = run['args']
shape = dict(vocab=4096, layers=6, width=160, heads=8) | {k: args[k] for k in ('vocab', 'layers', 'width', 'heads') if k in args}
model = LanguageModel(**shape).eval()
model.load_state_dict(torch.load(a.run + '.pt', map_location='cpu'))
os.makedirs(a.out + '/onnx', exist_ok=True)
tokens = torch.export.Dim('tokens', min=2, max=4096)
torch.onnx.export(model, (torch.randint(1, shape['vocab'], (1, 33)),), a.out + '/onnx/model.onnx', dynamo=True, dynamic_shapes=({1: tokens},),
                  input_names=['input_ids'], output_names=['logits'], external_data=False, verbose=False)
proto = onnx.load(a.out + '/onnx/model.onnx')
for node in proto.graph.node: del node.metadata_props[:]  # stack traces of the exporting machine
onnx.save(proto, a.out + '/onnx/model.onnx')
session = ort.InferenceSession(a.out + '/onnx/model.onnx')
val = np.load(a.data + '/val.npy').astype(np.int64)
for n in (2, 33, 500, 1024, 2048):
    x = val[1000:1000 + n][None]
    difference = np.abs(session.run(None, {'input_ids': x})[0] - model(torch.from_numpy(x)).detach().numpy()).max()
    print(n, 'tokens: largest difference', difference); assert difference < 1e-3
shutil.copy(a.data + '/tokenizer.json', a.out)
context = a.context
json.dump({'tokenizer_class': 'PreTrainedTokenizerFast', 'eos_token': '<|endoftext|>', 'model_max_length': context}, open(a.out + '/tokenizer_config.json', 'w'), indent=1)
json.dump({'model_type': 'decoder', 'vocab_size': shape['vocab'], 'hidden_size': shape['width'], 'num_hidden_layers': shape['layers'], 'num_attention_heads': shape['heads'],
           'head_dim': shape['width'] // shape['heads'], 'max_position_embeddings': context, 'rope_theta': 10000.0, 'rms_norm_eps': 1e-6, 'hidden_act': 'silu',
           'tie_word_embeddings': True}, open(a.out + '/config.json', 'w'), indent=1)
json.dump(run['log'], open(a.out + '/training.json', 'w'), indent=1)
