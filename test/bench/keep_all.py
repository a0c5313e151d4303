"""What a notebook does: the bundled model in PyTorch with all attentions kept, the measures of every head read off the full
maps, and eight mechanisms as masks over them. Compared with `attention-inspector analyze --mechanisms ...` (docs/results.md);
outside the automatic tests. Needs torch, onnx, tokenizers.

usage: python keep_all.py MODEL_FOLDER TEXT_FILE [TOKENS]
"""
import json, resource, sys, time
from pathlib import Path
import numpy as np, onnx, torch
from onnx import numpy_helper
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / 'scripts/zoo'))
from model import build, rotate
from train import read_back


def load(folder):
    """The recipe's model with the weights of the ONNX file."""
    model = build('prose')
    model.load_state_dict(read_back(str(folder / 'onnx/model.onnx'), model))
    return model.eval()


def forward(model, ids):
    """Logits, and q, k, v, attention of every layer: [heads, tokens, dim], [heads, tokens, tokens]."""
    n = len(ids)
    angle = torch.arange(n).float()[:, None] * model.inv[None]
    cos, sin = angle.cos(), angle.sin()
    hidden = torch.full((n, n), -torch.inf).triu(1)
    x, kept = model.e(ids), []
    for block in model.b:
        split = lambda t: t.view(n, block.a.h, -1).transpose(0, 1)
        y = block.n1(x)
        q, k, v = rotate(split(block.a.q(y)), cos, sin), rotate(split(block.a.k(y)), cos, sin), split(block.a.v(y))
        attention = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5 + hidden).softmax(-1)
        kept.append((q, k, v, attention))
        x = x + block.a.o((attention @ v).transpose(0, 1).reshape(n, -1))
        y = block.n2(x)
        x = x + block.f(y)
    return model.n(x) @ model.e.weight.T * (8 * model.e.weight.shape[1] ** -0.5), kept


def measures(attention):
    """Entropy, mean distance and the distance that holds 95 % of the mass, means over the queries of each head."""
    n = attention.shape[-1]
    distance = (torch.arange(n)[:, None] - torch.arange(n)[None]).clamp(min=0)
    entropy = -(attention * attention.clamp(min=1e-30).log()).sum(-1).mean(-1)
    mean = (attention * distance).sum(-1).mean(-1)
    by_distance = torch.zeros_like(attention).scatter_add_(-1, distance.expand_as(attention), attention)
    span95 = (by_distance.cumsum(-1) < 0.95).sum(-1).float().mean(-1)
    return entropy, mean, span95


def masks(q, k, attention):
    """The pairs that each mechanism keeps, one after the other: [heads or 1, tokens, tokens], before the causal mask."""
    heads, n, dim = q.shape
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    stride = round(n ** 0.5)
    band = lambda width: (i - j < width)[None]
    yield 'local', band(128)
    yield 'strided', band(stride + 1) | ((i - j) % stride == 0)[None]
    yield 'fixed', (i // stride == j // stride)[None] | (j % stride >= stride - stride // 8)[None]
    yield 'longformer', band(65) | (j < 1)[None] | (i < 1)[None]
    blocks, random = n // 32, torch.Generator().manual_seed(0)
    chosen = torch.rand(heads, blocks, blocks, generator=random).argsort(-1)[..., :2]
    scattered = torch.zeros(heads, blocks + 1, blocks + 1, dtype=torch.bool)
    scattered[:, :blocks, :blocks].scatter_(-1, chosen, True)
    near = ((i // 32 - j // 32).abs() <= 1) | (i < 64) | (j < 64)
    yield 'bigbird', near[None] | scattered[:, i // 32, j // 32]
    _, _, span = measures(attention)
    yield 'adaptive-span', (i - j)[None] <= span[:, None, None]
    keep = torch.zeros(heads, n, n, dtype=torch.bool)
    for _ in range(2):
        rotations = torch.randn(dim, max(1, n // 128), generator=random)
        hashed = [torch.cat([x @ rotations, -(x @ rotations)], -1).argmax(-1) for x in (q, k)]
        for head in range(heads):
            places = []
            for buckets in hashed:
                order = buckets[head].argsort(stable=True)
                place = torch.empty_like(order)
                place[order] = torch.arange(n) // 64
                places.append(place)
            back = places[0][:, None] - places[1][None]
            keep[head] |= (back == 0) | (back == 1)
    yield 'lsh', keep
    clusters = max(1, round(n ** 0.5 / 2))
    window = n // clusters
    keep = torch.zeros(heads, n, n, dtype=torch.bool)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (q, k)]
    for head in range(heads):
        centroids = unit[0][head][torch.randperm(n, generator=random)[:clusters]]
        for _ in range(10):
            nearest = (unit[0][head] @ centroids.T).argmax(-1)
            sums = torch.zeros_like(centroids).index_add_(0, nearest, unit[0][head])
            centroids = torch.nn.functional.normalize(sums + 1e-9 * centroids, dim=-1)
        members = [(x[head] @ centroids.T).topk(window, dim=0).indices for x in unit]
        for cluster in range(clusters):
            keep[head][members[0][:, cluster][:, None], members[1][:, cluster][None]] = True
    yield 'routing', keep


@torch.no_grad()
def main():
    folder, text = Path(sys.argv[1]), open(sys.argv[2], encoding='utf-8').read()
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2048
    began, cpu = time.perf_counter(), time.process_time()
    ids = torch.tensor(Tokenizer.from_file(str(folder / 'tokenizer.json')).encode(text).ids[:count])
    model = load(folder)
    logits, kept = forward(model, ids)
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:])
    print(f'{len(ids)} tokens, loss {loss:.3f}, forward with all attentions {time.perf_counter() - began:.1f} s')
    spans = [measures(attention)[2] for *_, attention in kept]
    print(f'span95 {torch.stack(spans).mean():.1f}')
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    recall, error = {}, {}
    for q, k, v, attention in kept:
        dense = attention @ v
        for name, mask in masks(q, k, attention):
            left = attention * (mask & seen)
            mass = left.sum(-1, keepdim=True)
            changed = (left / mass.clamp(min=1e-30)) @ v
            recall.setdefault(name, []).append(mass.mean().item())
            error.setdefault(name, []).append(((changed - dense).norm() / dense.norm()).item())
    for name in recall: print(f'{name:14} recall {np.mean(recall[name]):.3f}  output error {np.mean(error[name]):.3f}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{time.perf_counter() - began:.1f} s, CPU {time.process_time() - cpu:.1f} s, peak {peak:.0f} MiB')


main()
