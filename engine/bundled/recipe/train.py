"""Trains the bundled model for a given time, in stages (README.md); some windows repeat a passage so that induction heads form.
The model is that of scripts/zoo.

usage: train.py --data DATA --out RUN [--stage base|induction|long|mixed|far] [--init RUN.pt|model.onnx] [--minutes 76]
"""
import argparse, json, os, sys, time
import numpy as np, torch
from torch import nn
from torch.nn import functional as F

ap = argparse.ArgumentParser()
ap.add_argument('--data', required=True); ap.add_argument('--out', required=True); ap.add_argument('--init')
ap.add_argument('--stage', choices=['base', 'induction', 'long', 'mixed', 'far'], default='base')
for name, default in dict(layers=6, width=160, heads=8, lr=2e-3, minutes=76.0, seed=1, vocab=4096, code=0.25, threads=0).items():
    ap.add_argument('--' + name, type=type(default), default=default)
a = ap.parse_args()
# This folder has a train.py too.
sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../scripts/zoo')
from model import LanguageModel
from train import read_back
torch.manual_seed(a.seed)
if a.threads: torch.set_num_threads(a.threads)
rng = np.random.default_rng(a.seed)
device = 'cuda' if torch.cuda.is_available() else 'cpu'
books, code, val = (np.load(f'{a.data}/{n}.npy') for n in ('books', 'code', 'val'))
val_bytes = int(open(a.data + '/val.bytes').read())

# (until this share of the time, context, windows per step, share with a repeated passage, share of repeated random tokens);
# in the last stage the shares of the time are probabilities, drawn at each step
STAGES = dict(
    base=[(0.55, 256, 16, 0.15, 0.0), (0.9, 512, 8, 0.15, 0.0), (1.0, 1024, 4, 0.15, 0.0)],
    induction=[(1.0, 256, 16, 0.2, 0.3)],
    long=[(0.85, 512, 8, 0.2, 0.15), (1.0, 1024, 4, 0.15, 0.1)],
    far=[(0.35, 1024, 4, 0.0, 0.0), (1.0, 2048, 2, 0.0, 0.0)],
    mixed=[(0.6, 512, 8, 0.2, 0.12), (0.85, 1024, 4, 0.2, 0.12), (1.0, 2048, 2, 0.2, 0.12)],
)
DECAY_FROM = dict(base=0.7, induction=1.0, long=1.0, mixed=0.0, far=0.3)


def window(context, repeat, random):
    draw = rng.random()
    if a.stage == 'far': return far(context, draw)
    if draw < random:
        passage = rng.integers(1, a.vocab, int(rng.integers(8, max(9, context // 3))))
        return np.resize(passage, context + 1)
    source = code if len(code) > context and rng.random() < a.code else books
    start = rng.integers(0, len(source) - context - 1)
    w = source[start:start + context + 1].astype(np.int64)
    if draw < random + repeat:
        n = int(rng.integers(24, context // 2))
        p = int(rng.integers(0, context + 1 - 2 * n))
        gap = int(rng.integers(0, max(1, context + 1 - p - 2 * n)))
        w[p + n + gap:p + 2 * n + gap] = w[p:p + n]
    return w


def far(context, draw):
    """40 % plain text, 32 % a passage again far back, 16 % random tokens again, 12 % short phrases again."""
    source = code if rng.random() < a.code else books
    start = rng.integers(0, len(source) - context - 1)
    w = source[start:start + context + 1].astype(np.int64)
    if draw < 0.4: return w
    if draw < 0.88:
        n = int(rng.integers(64, context // 2))
        passage = None if draw < 0.72 else rng.integers(1, a.vocab, n)
        p = int(rng.integers(0, context + 1 - 2 * n))
        again = p + n + int(rng.integers(0, max(1, context + 1 - p - 2 * n)))
        if passage is not None: w[p:p + n] = passage
        w[again:again + n] = w[p:p + n]
        return w
    phrases = []
    for _ in range(int(rng.integers(10, 60))):
        n = int(rng.integers(3, 9)); at = int(rng.integers(0, len(source) - n))
        phrases.append(source[at:at + n].astype(np.int64))
    for phrase in phrases:
        for _ in range(int(rng.integers(2, 4))):
            at = int(rng.integers(0, context + 1 - len(phrase)))
            w[at:at + len(phrase)] = phrase
    return w


def two_copies(model, passage):
    """(loss on the first copy, loss on the second), nats per token"""
    twice = torch.from_numpy(np.concatenate([passage, passage]).astype(np.int64))[None].to(device)
    loss = F.cross_entropy(model(twice[:, :-1])[0], twice[0, 1:], reduction='none')
    return loss[:len(passage) - 1].mean().item(), loss[len(passage):].mean().item()


@torch.no_grad()
def evaluate(model, context=512):
    model.eval()
    total = count = 0
    for o in range(0, min(len(val) - context - 1, 40 * context), context):
        w = torch.from_numpy(val[o:o + context + 1].astype(np.int64))[None].to(device)
        total += F.cross_entropy(model(w[:, :-1])[0], w[0, 1:], reduction='sum').item(); count += context
    passage, copy = two_copies(model, val[5000:5256])
    _, random_copy = two_copies(model, np.random.default_rng(5).integers(1, a.vocab, 128))
    model.train()
    nats = total / count
    return dict(validation=round(nats, 4), bitsPerByte=round(float(nats / np.log(2) * len(val) / val_bytes), 4),
                passage=round(passage, 3), copy=round(copy, 3), randomCopy=round(random_copy, 3))


model = LanguageModel(a.vocab, a.layers, a.width, a.heads).to(device)
if a.init: model.load_state_dict(read_back(a.init, model) if a.init.endswith('.onnx') else torch.load(a.init, map_location=device))
groups = [dict(params=[p for p in model.parameters() if p.dim() > 1], weight_decay=0.1),
          dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=a.lr, betas=(0.9, 0.95))
began, next_report, step, tokens, log = time.time(), 0.0, 0, 0, []


def report():
    log.append(dict(minutes=round((time.time() - began) / 60, 1), step=step, tokens=tokens, **evaluate(model)))
    print(log[-1], flush=True)
    torch.save(model.state_dict(), a.out + '.tmp'); os.replace(a.out + '.tmp', a.out + '.pt')
    json.dump(dict(args=vars(a), log=log), open(a.out + '.json', 'w'))


while (done := (time.time() - began) / 60 / a.minutes) < 1:
    start = DECAY_FROM[a.stage]
    for g in optimizer.param_groups:
        g['lr'] = a.lr * min(1, (step + 1) / 100) * (1 if done <= start else max(0.02, (1 - done) / (1 - start)))
    place = rng.random() if a.stage in ('mixed', 'far') else done
    _, context, size, repeat, random = next(s for s in STAGES[a.stage] if place < s[0])
    w = torch.from_numpy(np.stack([window(context, repeat, random) for _ in range(size)])).to(device)
    loss = F.cross_entropy(model(w[:, :-1]).flatten(0, 1), w[:, 1:].flatten())
    optimizer.zero_grad(); loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    step += 1; tokens += size * context
    if time.time() - began > next_report:
        report(); next_report = time.time() - began + 180
report()
