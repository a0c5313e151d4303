"""Checks the recipe by itself: every way of attending against its formula written out pair by pair in float64, gradients, recurrence against one pass,
falling loss, resuming, and the exports in ONNX Runtime. Needs no corpus. Takes a few minutes on one core.

usage: check.py [PART of a name ...]
"""
import logging, math, os, sys, tempfile
import numpy as np, onnx, torch
import data, export, train
from model import (AdaptiveSpan, Attention, ChunkedCross, Compressive, Entmax, EntmaxAttention, LSH, MODELS, LanguageModel, ParallelBlock, Routing, Shaped, Strided, Switch,
                   TransformerXL, build, entmax)

logging.disable(logging.WARNING)
HEADS, DIM, N = 4, 8, 45
# Small settings, so that a short text has all cases; 45 is no multiple of any of them.
SMALL = {
    'strided': (Strided, dict(stride=6)), 'adaptive-span': (AdaptiveSpan, dict(ramp=5, longest=32)), 'lsh': (LSH, dict(bucketSize=6, rounds=3, buckets=6)),
    'routing': (Routing, dict(clusters=3, window=12, localWindow=7)), 'transformer-xl': (TransformerXL, dict(segment=12, memory=7)),
    'compressive': (Compressive, dict(segment=12, memory=8, compressed=3, rate=4)), 'entmax': (EntmaxAttention, {}), 'shaped': (Shaped, {}), 'dense': (Attention, {}),
}


def make(name, seed=0):
    torch.manual_seed(seed)
    kind, settings = SMALL[name]
    a = kind(HEADS * DIM, HEADS, **settings).double().eval()
    for p in a.parameters():
        if p.dim() < 2 or p.shape == (HEADS, DIM): torch.nn.init.uniform_(p, 0.1, 0.9)
    return a


def softmax(s):
    e = {j: math.exp(v - max(s.values())) for j, v in s.items()}
    return {j: v / sum(e.values()) for j, v in e.items()}


def one_pass(name):
    """Core against formula."""
    a = make(name)
    q, k, v = (torch.randn(1, HEADS, N, DIM, dtype=torch.double) for _ in range(3))
    q = q * 2
    if name == 'transformer-xl': tensors = dict(r=torch.randn(HEADS, N, DIM, dtype=torch.double), u=a.u, v_bias=a.v_bias)
    elif name == 'compressive':
        slots = (N + 3) // 4
        tensors = dict(r=torch.randn(HEADS, N, DIM, dtype=torch.double), u=a.u, v_bias=a.v_bias, slot_k=torch.randn(1, HEADS, slots, DIM, dtype=torch.double), slot_v=torch.randn(1, HEADS, slots, DIM, dtype=torch.double))
    else: tensors = a.tensors(q)
    got = a.core(q, k, v, *tensors.values())[0].detach().numpy()
    t = {n: x.detach().numpy() for n, x in tensors.items()}
    expected = np.stack([formula(name, a.settings, h, q[0, h].numpy(), k[0, h].numpy(), v[0, h].numpy(), t) for h in range(HEADS)])
    return np.abs(got - expected).max()


def formula(name, settings, h, q, k, v, t):
    scale = DIM ** -0.5
    out = np.zeros_like(v)
    unit = q / np.linalg.norm(q, axis=1, keepdims=True)
    if name == 'lsh': pairs = lsh_pairs(settings, q, t['rotations'])
    clusters = []
    if name == 'routing' and h >= settings['localHeads']:
        likeness = unit @ t['centroids'][h - settings['localHeads']].T
        clusters = [set(np.argsort(-likeness[:, c], kind='stable')[:settings['window']]) for c in range(likeness.shape[1])]
    for i in range(N):
        s = {j: q[i] @ k[j] * scale for j in range(i + 1)}
        if name == 'dense': w = softmax(s)
        if name == 'strided': w = softmax({j: x for j, x in s.items() if i - j <= settings['stride'] or (i - j) % settings['stride'] == 0})
        if name == 'adaptive-span':
            m = {j: min(max((settings['ramp'] + t['span'][h] - (i - j)) / settings['ramp'], 0), 1) * math.exp(x) for j, x in s.items()}
            w = {j: x / sum(m.values()) for j, x in m.items()}
        if name == 'lsh':
            seen = sorted(j for j in range(i) if (i, j) in pairs) or [i]
            w = softmax({j: q[i] @ unit[j] * scale for j in seen})
        if name == 'routing' and h < settings['localHeads']: w = softmax({j: x for j, x in s.items() if i - j < settings['localWindow']})
        elif name == 'routing':
            w, held = {}, [c for c in clusters if i in c]
            for c in held:
                seen = sorted(j for j in c if j < i) or [i]
                for j, x in softmax({j: q[i] @ unit[j] * scale for j in seen}).items(): w[j] = w.get(j, 0) + x / (len(held) + 1e-5)
        if name == 'entmax':
            alpha = t['alpha'][h]
            z = np.array([(alpha - 1) * s[j] for j in range(i + 1)])
            low, high = z.max() - 1, z.max()
            for _ in range(200):
                tau = (low + high) / 2
                if (np.maximum(z - tau, 0) ** (1 / (alpha - 1))).sum() >= 1: low = tau
                else: high = tau
            w = dict(enumerate(np.maximum(z - low, 0) ** (1 / (alpha - 1))))
        if name == 'shaped':
            w = {j: t['beta'][h] * x - t['gamma'][h] / (i + 1) + (t['alpha'][h] if j == i else 0) for j, x in softmax(s).items()}
        if name in ('transformer-xl', 'compressive'):
            start = i // settings['segment'] * settings['segment']
            memory = min(settings['memory'], start)
            # terms (a) to (d) of the paper
            score = lambda key, d: (q[i] @ key + q[i] @ t['r'][h, d] + t['u'][h] @ key + t['v_bias'][h] @ t['r'][h, d]) * scale
            rows = [(score(k[j], i - j), v[j]) for j in range(start - memory, i + 1)]
            if name == 'compressive':
                complete = (start - memory) // settings['rate']
                first = max(0, complete - settings['compressed'])
                # positions of [slots; memory; segment], all counted one by one
                rows += [(score(t['slot_k'][0, h, u], complete - u + memory + i - start), t['slot_v'][0, h, u]) for u in range(first, complete)]
            weights = softmax(dict(enumerate(x for x, _ in rows)))
            out[i] = sum(weights[n] * value for n, (_, value) in enumerate(rows))
            continue
        out[i] = sum((x * v[j] for j, x in w.items()), np.zeros(DIM))
    return out


def lsh_pairs(settings, q, rotations):
    """Pairs that share a bucket in a round and lie in the same chunk of the sorted ring or in neighbouring ones."""
    size, pairs = settings['bucketSize'], set()
    place, buckets, at = {}, {}, 0
    for r in range(rotations.shape[1]):
        x = q @ rotations[:, r]
        b = np.concatenate([x, -x], 1).argmax(1)
        for token in sorted(range(N), key=lambda i: (b[i], i)):
            place[r, token] = at // size; at += 1
        buckets[r] = b
    for r, b in buckets.items():
        for i in range(N):
            pairs |= {(i, j) for j in range(i + 1) if b[i] == b[j] and 0 <= place[r, i] - place[r, j] <= 1}
    return pairs


def gradient():
    """Entmax's gradient, of scores and of alpha, against differences; and that of the spans."""
    torch.manual_seed(1)
    x = torch.randn(2, 3, 9, dtype=torch.double, requires_grad=True)
    alpha = torch.tensor([1.2, 1.5, 1.9], dtype=torch.double)[None, :, None].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, alpha: Entmax.apply(x, alpha), (x, alpha), eps=1e-6, atol=1e-4)
    a = make('adaptive-span')
    q, k, v = (torch.randn(1, HEADS, N, DIM, dtype=torch.double) for _ in range(3))
    a.core(q, k, v, a.span()).pow(2).sum().backward()
    assert (a.share.grad.abs() > 0).all()
    hard = torch.randn(4, 300) * 20
    hard[:, 150:] = -1e4
    for alpha in (1.02, 1.2, 1.5, 1.99):
        p = entmax(hard, torch.tensor(alpha)).double()
        reference = entmax(hard.double(), torch.tensor(alpha, dtype=torch.double), 60)
        assert (p - reference).abs().max() < 1e-4, (alpha, (p - reference).abs().max())
    return 0.0


def recurrence(name):
    """Segment by segment with a memory gives what one pass over the text gives."""
    torch.manual_seed(2)
    kind, settings = SMALL[name]
    model = LanguageModel(vocab=50, layers=3, width=32, heads=4, attention=kind, settings=settings).double().eval()
    ids = torch.randint(0, 50, (2, 60))
    states = [{} for _ in range(3)]
    with torch.no_grad():
        parts = torch.cat([model(x, states) for x in ids.split(settings['segment'], 1)], 1)
        return (parts - model(ids)).abs().max().item()


def causal(name):
    """No token changes what comes before it. Routing and the chunks of LSH choose pairs over the whole text, as in the papers: not asked of them."""
    torch.manual_seed(3)
    model = build(name).eval()
    ids = torch.randint(1, 4096, (1, 400))
    other = ids.clone(); other[0, 300] = 7
    with torch.no_grad(): return (model(ids) - model(other))[:, :300].abs().max().item()


def experts():
    """What is trained (each token to its expert) is what is exported (every expert, one kept)."""
    torch.manual_seed(4)
    s = Switch(32).eval()
    x = torch.randn(2, 9, 32)
    return (s(x) - s.core(x, *s.weights())).abs().max().item()


def chunks():
    """RETRO's shift: token i reads the neighbours of chunk floor((i + 1) / chunk) - 1, the first ones nothing."""
    torch.manual_seed(7)
    a, n, size = ChunkedCross(HEADS * DIM, HEADS, chunk=4).double(), 22, 4
    q, (k, v) = torch.randn(1, HEADS, n, DIM, dtype=torch.double), torch.randn(2, 1, 6, HEADS, 5, DIM, dtype=torch.double)
    expected = torch.zeros_like(q)
    for i in range(n):
        chunk = (i + 1) // size - 1
        if chunk >= 0: expected[0, :, i] = ((q[0, :, i, None] * k[0, chunk]).sum(-1) * DIM ** -0.5).softmax(-1)[:, None].matmul(v[0, chunk])[:, 0]
    return (a.core(q, k, v) - expected).abs().max().item()


def learns(name):
    """A few steps on one text bring its loss down; all that is to be learned has a gradient."""
    torch.manual_seed(5)
    spec = MODELS[name]
    model = build(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    w = np.tile(np.random.default_rng(0).integers(1, 300, 65), 8)[None, :513]
    losses = []
    for step in range(12):
        states = [{} for _ in range(model.layers)] if model.recurrent else None
        x, y = train.masked(w, 1) if spec['kind'] == 'encoder' else (torch.from_numpy(w[:, :-1]), torch.from_numpy(w[:, 1:]))
        optimizer.zero_grad()
        total = 0
        for a, b in zip(x.split(256, 1), y.split(256, 1)) if model.recurrent else [(x, y)]:
            loss = train.cross_entropy(model, a, b, states); (loss + model.penalty()).backward(); total += loss.item()
        optimizer.step(); losses.append(total)
    # Nothing is compressed within two segments.
    missing = [n for n, p in model.named_parameters() if p.grad is None and 'compress' not in n]
    assert not missing, missing
    assert losses[-1] < 0.8 * losses[0], losses
    return losses[-1] / losses[0]


def exported(name):
    """ONNX Runtime's logits against PyTorch's, at several lengths; sharp attention, so that it matters."""
    torch.manual_seed(6)
    model = build(name)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith(('a.q.weight', 'a.k.weight')): p.normal_(std=0.2)
            if n.endswith(('.u', '.v_bias')): p.normal_()
    proto = export.to_onnx(model, MODELS[name].get('weights', 'float16'))
    onnx.checker.check_model(proto)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.onnx')
        onnx.save(proto, path)
        lengths = (2, 37, 130, 512) + ((1100,) if model.recurrent else ())
        return max(export.differences(path, model, np.random.default_rng(1).integers(1, 4096, 1200), lengths).values())


def resumes():
    """Stopped and resumed is the same as never stopped: windows follow from the step, memories end with the episode."""
    tokens = np.random.default_rng(0).integers(1, 4096, 100_000).astype(np.uint16)
    s = data.Streams(tokens)
    assert (s.windows(5) == data.Streams(tokens).windows(5)).all() and (s.windows(4)[:, 1:] != s.windows(5)[:, 1:]).any()
    assert (s.windows(4, False)[:, -1] == s.windows(5, False)[:, 0]).all(), 'windows of an episode follow each other'
    for order in ('unique', 'length', 'rarity', 'loss'):
        s = data.Streams(tokens, order=order, steps=30)
        for step in (0, 11, 29): assert s.windows(step).size - len(s.windows(step)) == (8192 if order == 'loss' else 4096)
    twice = np.concatenate([tokens[:50_000], tokens[:50_000]])
    assert data.repeated(twice)[50_000:99_000].all() and not data.repeated(twice)[:50_000].any()
    m = data.Mixture(tokens, tokens)
    for step in range(60):
        w = m.windows(step)
        assert w.shape[0] * (w.shape[1] - 1) == 4096 and 0 <= w.min() and w.max() < 4096
        assert (w == m.windows(step)).all()
    return 0.0


def main():
    torch.set_num_threads(1)
    zoo = [n for n in MODELS if n != 'prose' and 'order' not in MODELS[n]]
    checks = [(f'formula {n}', 1e-6, lambda n=n: one_pass(n)) for n in SMALL]
    checks += [('gradient', 1e-6, gradient), ('experts', 1e-5, experts), ('formula retro', 1e-6, chunks), ('resumes', 1e-6, resumes)]
    checks += [(f'recurrence {n}', 1e-9, lambda n=n: recurrence(n)) for n in ('transformer-xl', 'compressive')]
    checks += [(f'causal {n}', 1e-5, lambda n=n: causal(n)) for n in zoo if n not in ('routing', 'lsh', 'encoder')]
    checks += [(f'learns {n}', 0.8, lambda n=n: learns(n)) for n in zoo]
    checks += [(f'exported {n}', 1e-4, lambda n=n: exported(n)) for n in zoo]
    failed = 0
    for name, bound, check in checks:
        if sys.argv[1:] and not any(part in name for part in sys.argv[1:]): continue
        try: value = check(); good = value <= bound
        except Exception as e: value, good = f'{type(e).__name__}: {e}', False
        failed += not good
        print('ok    ' if good else 'FAILED', name, value if isinstance(value, str) else f'{value:.2g}', flush=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__': main()
