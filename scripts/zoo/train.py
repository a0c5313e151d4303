"""Trains one model of MODELS (model.py) for a slice of time, from its last checkpoint on. Stops at the end of the slice or when its tokens are used up.

usage: train.py NAME [--minutes 12] [--tokens N] [--seed 1] [--init model.onnx ...] [--home FOLDER] [--corpus FOLDER] [--code FOLDER]
Under HOME/NAME: checkpoint.pt (replaced in one go), log.jsonl (step, tokens, losses).
--tokens: stop at that many, rounded up to whole texts of four windows, and keep a copy, at-TOKENS.pt. The learning rate falls as it would in the whole training,
so that a later run can go on as if nothing had been; models compared at such a stop are all equally unfinished.
Minutes are CPU minutes, so that a slice means the same on a busy machine.
"""
import json, math, os, shutil, time
import numpy as np, torch
from torch import nn
from torch.nn import functional as F
import data
from model import MODELS, AdaptiveSpan, EntmaxAttention, build


def load(folder): return {n: np.load(f'{folder}/{n}.npy', mmap_mode='r') for n in ('books', 'code', 'val')}


def masked(w, seed):
    """Masked-LM inputs and targets (-100 = not asked for): [CLS] text [SEP], 15 % of the text, of those 80 % masked, 10 % another token, 10 % as they are."""
    rng = np.random.default_rng(seed)
    x = w[:, :-1].copy(); x[:, 0] = data.CLS; x[:, -1] = data.SEP
    asked = rng.random(x.shape) < 0.15
    asked[:, [0, -1]] = False
    y = np.where(asked, x, -100)
    draw = rng.random(x.shape)
    x = np.where(asked & (draw < 0.8), data.MASK, np.where(asked & (draw < 0.9), rng.integers(1, data.VOCAB, x.shape), x))
    return torch.from_numpy(x), torch.from_numpy(y)


def cross_entropy(model, x, y, states=None, reduction='mean'):
    return F.cross_entropy(model(x, states).flatten(0, 1), y.flatten(), reduction=reduction)


@torch.no_grad()
def validate(model, spec, tokens, nbytes, windows=40, window=512):
    """Nats per token and bits per byte on the first windows of the validation text, every token predicted once; recurrent models keep their memory throughout."""
    model.eval()
    total = count = 0
    states = [{} for _ in range(model.layers)] if model.recurrent else None
    for n in range(windows):
        w = tokens[n * window:(n + 1) * window].astype(np.int64)
        if spec['kind'] == 'encoder':
            x, y = masked(np.append(w, 0)[None], (7, n))
            total += cross_entropy(model, x, y, reduction='sum').item(); count += int((y >= 0).sum())
            continue
        before = tokens[n * window - 1] if model.recurrent and n else data.FIRST
        x = torch.from_numpy(np.concatenate([[before], w[:-1]]).astype(np.int64))[None]
        if states is None: total += cross_entropy(model, x, torch.from_numpy(w), reduction='sum').item()
        else: total += sum(cross_entropy(model, a, b, states, 'sum').item() for a, b in zip(x.split(256, 1), torch.from_numpy(w)[None].split(256, 1)))
        count += window
    model.train()
    nats = total / count
    result = dict(validation=round(nats, 4))
    if spec['kind'] != 'encoder': result['bitsPerByte'] = round(nats / math.log(2) * len(tokens) / nbytes, 4)
    return result


CONTEXTS = (64, 256, 512, 1000, 1500)


@torch.no_grad()
def in_context(model, val, step=9_000):
    """The losses of the same targets, place by place, with more and more before them."""
    losses = {}
    for length in CONTEXTS:
        losses[length] = []
        for at in range(2000, len(val) - 200, step):
            x = torch.from_numpy(np.concatenate([[data.FIRST], val[at - length:at + 128]]).astype(np.int64))[None]
            losses[length].append(F.cross_entropy(model(x[:, :-1])[0][-128:], x[0, -128:]).item())
    return losses


@torch.no_grad()
def reach(model, val, vocab=data.VOCAB, losses=None):
    """What the bundled model has to be able to do: copy near and far, random and real, and use what is far back (`losses`, where they are known)."""
    model.eval()

    def twice(passage):
        x = torch.from_numpy(np.concatenate([[data.FIRST], passage, passage]).astype(np.int64))[None]
        loss = F.cross_entropy(model(x[:, :-1])[0], x[0, 1:], reduction='none')
        return [round(t.item(), 3) for t in (loss[:len(passage)].mean(), loss[len(passage) + 1:].mean())]

    result = {}
    for length in (128, 256, 700):
        pairs = [twice(val[at:at + length]) for at in (5000, 20000, 60000)]
        result[f'twice{length}'] = [round(float(m), 3) for m in np.mean(pairs, 0)]
    for length in (25, 50, 128): result[f'random{length}'] = round(float(np.mean([twice(np.random.default_rng(s).integers(1, vocab, length))[1] for s in range(5, 9)])), 3)
    context = {length: round(float(np.mean(these)), 4) for length, these in (losses or in_context(model, val)).items()}
    model.train()
    return result | dict(context=context)


@torch.no_grad()
def hardest(model, w):
    """The half of the windows with the larger loss."""
    losses = [cross_entropy(model, torch.from_numpy(x[None, :-1]), torch.from_numpy(x[None, 1:])).item() for x in w]
    return w[np.sort(np.argsort(losses)[len(w) // 2:])]


def learned(model):
    """What the mechanism itself learned, for the log."""
    if model.attention is AdaptiveSpan: return dict(spans=[[round(z) for z in b.a.span().tolist()] for b in model.b])
    if model.attention is EntmaxAttention: return dict(alpha=[[round(1 + t, 3) for t in b.a.a.sigmoid().tolist()] for b in model.b])
    return {}


def main():
    parser = data.arguments(__doc__)
    parser.add_argument('name', choices=list(MODELS))
    parser.add_argument('--minutes', type=float, default=12); parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--tokens', type=float, help='stop there')
    parser.add_argument('--init', nargs='+', help='weights to begin with, where there is no checkpoint: an exported model.onnx, or the mean of several (Wortsman et al. 2022)')
    a = parser.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
    spec = MODELS[a.name]
    texts = load(data.prepare(a.home, a.corpus, a.code))
    nbytes = int(open(os.path.join(a.home, 'data/val.bytes')).read())
    folder = os.path.join(a.home, a.name); os.makedirs(folder, exist_ok=True)
    torch.manual_seed(a.seed)
    model = build(a.name)
    if hasattr(model, 'retriever'): model.retriever.fill(texts['books'])
    model.train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=0.1), dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)],
                                  lr=spec['lr'], betas=(0.9, 0.95))
    step = tokens = 0
    spent = 0.0
    path = folder + '/checkpoint.pt'
    if os.path.exists(path):
        saved = torch.load(path, map_location='cpu')
        model.load_state_dict(saved['model']); optimizer.load_state_dict(saved['optimizer'])
        step, tokens, spent = saved['step'], saved['tokens'], saved['minutes']
    elif a.init: model.load_state_dict(mean([read_back(path, model) for path in a.init]))
    mixture = spec.get('mixture')
    source = data.Mixture(texts['books'], texts['code'], mixture, a.seed) if mixture else data.Streams(texts['books'], spec['streams'], spec['window'], seed=a.seed, order=spec.get('order', 'plain'), steps=spec['tokens'] // (spec['streams'] * spec['window']))
    before = tokens
    states, began, recent = {}, time.process_time(), []
    minutes = lambda: spent + (time.process_time() - began) / 60

    def save(final=False):
        torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), step=step, tokens=tokens, minutes=minutes()), path + '.new')
        os.replace(path + '.new', path)
        line = dict(step=step, tokens=tokens, cpuMinutes=round(minutes(), 1), loss=round(float(np.mean(recent[-50:])), 4) if recent else None,
                    **validate(model, spec, texts['val'], nbytes), **learned(model))
        if mixture and final: line |= reach(model, texts['val'])
        with open(folder + '/log.jsonl', 'a') as f: f.write(json.dumps(line) + '\n')
        print(a.name, line, flush=True)

    next_save = 4.0
    goal = target(spec, a.tokens)
    if step == 0: save(final=True)
    while tokens < goal:
        torch.manual_seed(a.seed * 10_000_019 + step)
        share = tokens / spec['tokens']
        for group in optimizer.param_groups:
            group['lr'] = spec['lr'] * min(1, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share)))
        w = source.windows(step) if mixture else source.windows(step, first_everywhere=not model.recurrent)
        if spec.get('order') == 'loss': w = hardest(model, w)
        parts = np.array_split(w, max(1, len(w) * (w.shape[1] - 1) // 512 // spec['micro'])) if len(w) > 1 else [w]
        parts = [p for p in parts if len(p)]
        if not mixture and source.starts_episode(step): states = {}
        optimizer.zero_grad()
        seen = 0.0
        for number, part in enumerate(parts):
            if spec['kind'] == 'encoder': pairs = [masked(part, (a.seed, step, number))]
            else: pairs = [(torch.from_numpy(part[:, :-1]), torch.from_numpy(part[:, 1:]))]
            state = None
            if model.recurrent:
                state = states.setdefault(number, [{} for _ in range(model.layers)])
                size = model.b[0].a.settings['segment']
                pairs = list(zip(pairs[0][0].split(size, 1), pairs[0][1].split(size, 1)))
            for x, y in pairs:
                weight = len(part) / len(w) / len(pairs)
                loss = cross_entropy(model, x, y, state)
                ((loss + model.penalty()) * weight).backward()
                seen += loss.item() * weight
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for m in model.modules():
            if hasattr(m, 'after_step'): m.after_step()
        step += 1; tokens += w.shape[0] * (w.shape[1] - 1); recent.append(seen)
        whole = mixture or source.starts_episode(step)  # memories are not saved: stop where they begin anew
        if not whole or tokens >= goal: continue
        done = minutes() - spent
        if done >= a.minutes: break
        if done >= next_save: save(); next_save = done + 4
    if tokens > before: save(final=True)
    if tokens == goal < spec['tokens']: shutil.copyfile(path, f'{folder}/at-{goal}.pt')


def target(spec, tokens=None):
    """The tokens to stop at: whole texts of four windows, in which the memories of recurrent models begin anew."""
    if not tokens or tokens >= spec['tokens'] or 'window' not in spec: return spec['tokens']
    text = 4 * spec['streams'] * spec['window']
    return math.ceil(tokens / text) * text


def mean(states): return {name: torch.stack([s[name] for s in states]).mean(0) for name in states[0]}


def read_back(path, model):
    """Weights of an exported plain decoder: named ones by name, the MatMul weights in the order of the graph."""
    import onnx
    graph = onnx.load(path).graph
    values = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    weights = iter(n.input[1] for n in graph.node if n.op_type == 'MatMul' and values.get(n.input[1], np.zeros(0)).ndim == 2)
    state = model.state_dict()
    for layer in range(model.layers):
        for name in ('a.q', 'a.k', 'a.v', 'a.o', 'f.g', 'f.u', 'f.dn'):
            value = torch.from_numpy(values[next(weights)].T.copy())
            assert value.shape == state[f'b.{layer}.{name}.weight'].shape
            state[f'b.{layer}.{name}.weight'] = value
    for name in state:
        if name in values: state[name] = torch.from_numpy(values[name].copy())
    return {name: value.clone() for name, value in state.items()}


if __name__ == '__main__': main()
