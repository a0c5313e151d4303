"""The zoo's table: every trained model on the same held-out text, against the dense one, with intervals.

usage: measure.py [--home FOLDER] [--tokens 60000] [--json FILE]     prints Markdown
What is measured (nats per token, lower is better):
  loss        windows of 512 tokens; recurrent models keep their memory. Differences to the dense model are paired, token by token; their 95 % intervals are a
              bootstrap over blocks of 64 tokens, 2,000 draws, the same for all.
  frequency   the same by how often the token stands in the training text (Compressive Transformer's figure).
  context     the same targets with 16 to 512 tokens before them, to 2,048 for recurrent models (Transformer-XL's figure).
"""
import json, math, os
import numpy as np, torch
from torch.nn import functional as F
import data, train
from model import MODELS, build

BLOCK, DRAWS = 64, 2000
BINS = [(0, 100, 'below 100'), (100, 1000, '100 to 1,000'), (1000, 10_000, '1,000 to 10,000'), (10_000, 1 << 60, 'more')]  # times in 10 million tokens


@torch.no_grad()
def losses(model, tokens, window=512):
    """Loss of each token."""
    states = [{} for _ in range(model.layers)] if model.recurrent else None
    out = []
    for at in range(0, len(tokens) - window + 1, window):
        before = tokens[at - 1] if model.recurrent and at else data.FIRST
        x = torch.from_numpy(np.concatenate([[before], tokens[at:at + window - 1]]).astype(np.int64))[None]
        y = torch.from_numpy(tokens[at:at + window].astype(np.int64))
        parts = x.split(model.b[0].a.settings['segment'], 1) if model.recurrent else [x]
        logits = torch.cat([model(p, states) for p in parts], 1)[0]
        out.append(F.cross_entropy(logits, y, reduction='none').numpy())
    return np.concatenate(out)


@torch.no_grad()
def by_context(model, tokens, lengths, targets=128, places=24):
    result = {}
    at = np.linspace(2200, len(tokens) - targets, places).astype(int)
    for length in lengths:
        values = []
        for p in at:
            x = torch.from_numpy(np.concatenate([[data.FIRST], tokens[p - length:p + targets]]).astype(np.int64))[None]
            values.append(F.cross_entropy(model(x[:, :-1])[0][-targets:], x[0, -targets:]).item())
        result[length] = round(float(np.mean(values)), 4)
    return result


def interval(difference):
    """Mean and 95 % interval, over blocks of neighbouring tokens."""
    blocks = difference[:len(difference) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(1)
    draws = np.random.default_rng(0).integers(0, len(blocks), (DRAWS, len(blocks)))
    low, high = np.percentile(blocks[draws].mean(1), [2.5, 97.5])
    return [round(float(v), 4) for v in (difference.mean(), low, high)]


def main():
    parser = data.arguments(__doc__)
    parser.add_argument('--tokens', type=int, default=60_000); parser.add_argument('--json')
    a = parser.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
    texts = train.load(a.home + '/data')
    val = np.asarray(texts['val'][:a.tokens // 512 * 512])
    bytes_per_token = int(open(a.home + '/data/val.bytes').read()) / len(texts['val'])
    counts = np.bincount(texts['books'][:10_000_000], minlength=data.VOCAB)[val]
    found, loss = {}, {}
    for name, spec in MODELS.items():
        path = f'{a.home}/{name}/checkpoint.pt'
        if spec['kind'] == 'encoder' or spec.get('mixture') or not os.path.exists(path): continue
        saved = torch.load(path, map_location='cpu')
        if not saved['tokens']: continue
        model = build(name).eval(); model.load_state_dict(saved['model'])
        loss[name] = losses(model, val)
        found[name] = dict(title=spec['title'], tokens=saved['tokens'], parameters=sum(p.numel() for p in model.parameters()), nats=round(float(loss[name].mean()), 4),
                           bitsPerByte=round(float(loss[name].mean()) / math.log(2) / bytes_per_token, 4),
                           frequency={label: round(float(loss[name][(counts >= low) & (counts < high)].mean()), 3) for low, high, label in BINS},
                           context=by_context(model, val, (16, 32, 64, 128, 256, 384) + ((512, 1024, 2048) if model.recurrent else ())), **train.learned(model))
    if 'dense' in loss:
        for name in found: found[name]['toDense'] = interval(loss[name] - loss['dense'])
    if a.json:
        with open(a.json, 'w') as f: json.dump(found, f, indent=1)
    print('| model | parameters | tokens | nats per token | bits per byte | to dense, nats (95 %) |\n| --- | --- | --- | --- | --- | --- |')
    for m in found.values():
        d = m.get('toDense')
        print(f"| {m['title']} | {m['parameters']:,} | {m['tokens'] / 1e6:.1f} M | {m['nats']:.3f} | {m['bitsPerByte']:.3f} | {f'{d[0]:+.3f} ({d[1]:+.3f} to {d[2]:+.3f})' if d else ''} |")
    print('\n| nats per token, by times in 10 million tokens | ' + ' | '.join(label for *_, label in BINS) + ' |\n| --- |' + ' --- |' * len(BINS))
    for m in found.values(): print(f"| {m['title']} | " + ' | '.join(f'{v:.2f}' for v in m['frequency'].values()) + ' |')
    lengths = sorted({l for m in found.values() for l in m['context']})
    print('\n| nats per token, by tokens before | ' + ' | '.join(map(str, lengths)) + ' |\n| --- |' + ' --- |' * len(lengths))
    for m in found.values(): print(f"| {m['title']} | " + ' | '.join(f"{m['context'][l]:.3f}" if l in m['context'] else '' for l in lengths) + ' |')


if __name__ == '__main__': main()
