"""One small decoder (pre-norm, RMSNorm, gated feed-forward, tied embeddings) and one class for each way of attending.

Each class has a `core`: a pure function of q, k, v [batch, heads, tokens, dim] and its learned tensors. It is what the export writes as an ONNX
function of its own, and what the extension has to compute alike. Formulas are the papers'; where they leave a choice the docstring says which.
"""
import math
import torch
from torch import nn
from torch.nn import functional as F

HIDDEN = -1e9


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w = nn.Parameter(torch.ones(width))

    def forward(self, x): return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.w


def rotate(x, cos, sin):
    """Rotary positions, halves convention. x [batch, heads, tokens, dim]."""
    h = x.shape[-1] // 2
    a, b = x[..., :h], x[..., h:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def distances(q, k):
    """[queries, keys] how far back each key is; the queries are the last positions."""
    n, m = q.shape[2], k.shape[2]
    return (torch.arange(n, device=q.device) + (m - n))[:, None] - torch.arange(m, device=q.device)[None]


def scores(q, k): return q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5


class Attention(nn.Module):
    """Softmax attention. Base of all others."""
    name = 'dense'
    positions = 'rotary'
    native = False  # written as plain operators, which is what every reader of ONNX knows

    def __init__(self, width, heads, causal=True, **settings):
        super().__init__()
        self.h, self.causal, self.settings = heads, causal, settings
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))

    def split(self, t): return t.view(*t.shape[:2], self.h, t.shape[-1] // self.h).transpose(1, 2)

    def project(self, y, angles):
        q, k, v = self.split(self.q(y)), self.split(self.k(y)), self.split(self.v(y))
        return (rotate(q, *angles), rotate(k, *angles), v) if self.positions == 'rotary' else (q, k, v)

    def tensors(self, q): return {}
    def core(self, q, k, v): return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
    def penalty(self): return 0

    def attend(self, q, k, v, **tensors):
        if self.native and getattr(self, 'exporting', False):
            attributes = dict(self.settings, scale=q.shape[-1] ** -0.5, causal=int(self.causal))
            # What was learned once and for all stands in the file as it is, not as the operations that give it.
            inputs = [getattr(self, 'learned_' + name, value) for name, value in tensors.items()]
            return torch.onnx.ops.symbolic('attention_inspector::' + self.name.replace('-', '_'), [q, k, v, *inputs], attributes, dtype=q.dtype, shape=q.shape, version=1)
        return self.core(q, k, v, *tensors.values())

    def freeze(self):
        """Before the export."""
        for name, value in self.tensors(torch.zeros(1, self.h, 1, 1)).items(): self.register_buffer('learned_' + name, value.detach().clone())

    def merge(self, context): return self.o(context.transpose(1, 2).flatten(2))

    def forward(self, y, angles):
        q, k, v = self.project(y, angles)
        return self.merge(self.attend(q, k, v, **self.tensors(q)))


class Strided(Attention):
    """Sparse Transformer (Child et al. 2019), strided: the nearest `stride` keys and every stride-th before them, both in each head."""
    name, native = 'strided', True

    def core(self, q, k, v):
        d, stride = distances(q, k), self.settings['stride']
        return F.scaled_dot_product_attention(q, k, v, attn_mask=(d >= 0) & ((d <= stride) | (d % stride == 0)))


class AdaptiveSpan(Attention):
    """Sukhbaatar et al. 2019: softmax times clamp((ramp + span - distance) / ramp), renormalised; the spans are learned, one a head, and cost `cost` a token."""
    name, native = 'adaptive-span', True

    def __init__(self, *args, longest=512, cost=1e-5, **settings):
        super().__init__(*args, **settings)
        self.longest, self.cost = longest, cost
        self.share = nn.Parameter(torch.full((self.h,), 0.05))

    def span(self): return self.share * self.longest

    @torch.no_grad()
    def after_step(self): self.share.clamp_(0, 1)  # here and not in span(): a span at 0 has to keep its gradient, or it never comes back

    def tensors(self, q): return dict(span=self.span())
    def penalty(self): return self.cost * self.span().mean()

    def core(self, q, k, v, span):
        d, ramp = distances(q, k), self.settings['ramp']
        weights = scores(q, k).masked_fill(d < 0, HIDDEN).softmax(-1)
        weights = weights * ((ramp + span[:, None, None] - d) / ramp).clamp(0, 1)
        return weights / weights.sum(-1, keepdim=True) @ v


def unit(x): return x / x.pow(2).sum(-1, keepdim=True).sqrt().clamp_min(1e-30)


def itself_last(s, d):
    """With tied keys a token's score with itself would win always: it counts only if there is nothing else."""
    return torch.where(d == 0, s - 5e4, s)


class LSH(Attention):
    """Reformer (Kitaev et al. 2020): the key is the query at unit length; in each round a query sees the keys of its bucket, in its chunk of the
    sorted tokens and the chunk before; one softmax over the union of the rounds (equation 2: a pair seen twice counts once). Rotations are drawn anew at each step, and kept for good in the export."""
    name, native, positions = 'lsh', True, 'learned'

    def __init__(self, width, heads, rounds=2, buckets=8, **settings):
        super().__init__(width, heads, rounds=rounds, sharedQK=1, attendAcrossBuckets=0, allowDuplicates=0, **settings)
        self.k = None
        self.register_buffer('rotations', torch.randn(width // heads, rounds, buckets // 2))

    def project(self, y, angles):
        q = self.split(self.q(y))
        return q, q, self.split(self.v(y))

    def tensors(self, q):
        if self.training: self.rotations.normal_()
        return dict(rotations=self.rotations)

    def core(self, q, k, v, rotations):
        n, size, d = q.shape[2], self.settings['bucketSize'], distances(q, k)
        x = torch.einsum('bhnd,drc->bhrnc', q, rotations)
        bucket = torch.cat([x, -x], -1).argmax(-1)  # [batch, heads, rounds, tokens]
        order = bucket * n + torch.arange(n, device=q.device)
        place = order.argsort(-1).argsort(-1)  # of each token among the sorted
        place = place + n * torch.arange(rotations.shape[1], device=q.device)[:, None]
        chunk, bucket = (place // size).int(), bucket.int()
        back = chunk[..., :, None] - chunk[..., None, :]
        seen = ((bucket[..., :, None] == bucket[..., None, :]) & (back >= 0) & (back <= 1)).any(2) & (d >= 0)
        s = itself_last(scores(q, unit(q)), d).masked_fill(~seen, HIDDEN)
        return s.softmax(-1) @ v


class Routing(Attention):
    """Routing Transformer (Roy et al. 2021): each centroid takes the `window` tokens nearest to it, which attend to each other (keys tied to queries);
    a token's output is the mean over its clusters, 0 where none holds it. The first half of the heads attend to a local window. Centroids follow by
    moving average. Which tokens a cluster takes depends on the whole window, later tokens included, as in the paper."""
    name, native, positions = 'routing', True, 'learned'
    DECAY = 0.99  # 0.999 in the paper, whose runs are a hundred times longer

    def __init__(self, width, heads, clusters=8, window=64, localWindow=128):
        super().__init__(width, heads, window=window, localHeads=heads // 2, localWindow=localWindow, sharedQK=1)
        self.k = nn.Linear(width, width // 2, bias=False)
        self.register_buffer('centroids', unit(torch.randn(heads // 2, clusters, width // heads)))

    def project(self, y, angles):
        q = self.split(self.q(y))
        local = self.k(y).view(*y.shape[:2], self.h // 2, -1).transpose(1, 2)
        return q, torch.cat([local, q[:, self.h // 2:]], 1), self.split(self.v(y))

    def tensors(self, q):
        if self.training: self.follow(q[:, self.h // 2:])
        return dict(centroids=self.centroids)

    @torch.no_grad()
    def follow(self, q):
        x = unit(q)
        nearest = F.one_hot(torch.einsum('bhnd,hcd->bhnc', x, self.centroids).argmax(-1), self.centroids.shape[1]).float()
        mean = unit(torch.einsum('bhnc,bhnd->hcd', nearest, x))
        held = nearest.sum((0, 2))[..., None] > 0
        self.centroids.copy_(torch.where(held, unit(self.DECAY * self.centroids + (1 - self.DECAY) * mean), self.centroids))

    def core(self, q, k, v, centroids):
        local, d = self.settings['localHeads'], distances(q, k)
        near = (d >= 0) & (d < self.settings['localWindow'])
        out = F.scaled_dot_product_attention(q[:, :local], k[:, :local], v[:, :local], attn_mask=near)
        q, k, v = q[:, local:], unit(q[:, local:]), v[:, local:]
        likeness = torch.einsum('bhnd,hcd->bhcn', k, centroids)
        # As many tokens again that no cluster wants, so that short texts fill the window too.
        n, window, dim = q.shape[2], self.settings['window'], q.shape[3]
        members = F.pad(likeness, (0, window), value=-2.).topk(window, -1).indices  # [batch, heads, clusters, window]
        flat = members.flatten(2)[..., None]
        rows = flat.expand(-1, -1, -1, dim)
        q, k, v = (F.pad(x, (0, 0, 0, window)).gather(2, rows).unflatten(2, members.shape[2:]) for x in (q, k, v))
        d = members[..., :, None] - members[..., None, :]
        s = itself_last(scores(q, k), d).masked_fill((d < 0) | (members >= n)[..., None, :], HIDDEN)
        total = torch.zeros_like(F.pad(out, (0, 0, 0, window))).scatter_add(2, rows, (s.softmax(-1) @ v).flatten(2, 3))[:, :, :n]
        held = torch.zeros_like(F.pad(out, (0, 0, 0, window)))[..., :1].scatter_add(2, flat, torch.ones_like(flat, dtype=q.dtype))[:, :, :n]
        return torch.cat([out, total / (held + 1e-5)], 1)


class TransformerXL(Attention):
    """Dai et al. 2019: segments with a memory of `memory` tokens before them, scores (q + u) k + (q + v) r of the distance, r = sinusoid W_r.
    Training passes the memory from segment to segment and stops gradients there; over a whole text the same comes out of one pass under a mask."""
    name, native, positions = 'transformer-xl', True, 'relative'

    def __init__(self, width, heads, segment=256, memory=256, **settings):
        super().__init__(width, heads, segment=segment, memory=memory, **settings)
        self.r = nn.Linear(width, width, bias=False)
        self.u, self.v_bias = (nn.Parameter(torch.zeros(heads, width // heads)) for _ in range(2))

    def freeze(self): pass

    def relative(self, q, length):
        """[heads, length, dim], row t for distance t."""
        width = self.r.in_features
        angle = torch.arange(length, device=q.device).float()[:, None] * 10000.0 ** (-torch.arange(0, width, 2, device=q.device).float() / width)
        return self.r(torch.cat([angle.sin(), angle.cos()], -1).to(self.r.weight.dtype)).view(length, self.h, -1).transpose(0, 1)

    def visible(self, q, k):
        d, n = distances(q, k), q.shape[2]
        row = torch.arange(n, device=q.device)[:, None]
        since = row % self.settings['segment'] + self.settings['memory']
        return (d >= 0) & (d <= since)

    def core(self, q, k, v, r, u, v_bias):
        return self.relative_scores(q, k, r, u, v_bias).masked_fill(~self.visible(q, k), HIDDEN).softmax(-1) @ v

    def relative_scores(self, q, k, r, u, v_bias):
        keys = k.shape[2]
        positions = (q + v_bias[:, None]) @ r[:, :keys].flip(1).transpose(-1, -2)  # columns: distance keys-1 .. 0
        return ((q + u[:, None]) @ k.transpose(-1, -2) + self.shift(positions)) * q.shape[-1] ** -0.5

    @staticmethod
    def shift(x):
        """Column c of row i moves so that (i, j) holds the distance of query i and key j; what lies in the future is garbage."""
        b, h, n, m = x.shape
        return F.pad(x, (1, 0)).view(b, h, m + 1, n)[:, :, 1:].reshape(b, h, n, m)

    def forward(self, y, angles, state=None):
        """`state`: {memory} of this layer, [batch, tokens, width], changed in place."""
        seen = y if not state else torch.cat([state['memory'], y], 1)
        q, k, v = self.split(self.q(y)), self.split(self.k(seen)), self.split(self.v(seen))
        context = self.attend(q, k, v, r=self.relative(q, k.shape[2]), u=self.u, v_bias=self.v_bias)
        if state is not None: state['memory'] = seen[:, -self.settings['memory']:].detach()
        return self.merge(context)


class Compressive(TransformerXL):
    """Rae et al. 2020: what falls out of the memory is compressed, `rate` tokens to one slot by a learned convolution (kernel = stride = rate) of the
    layer's input, and up to `compressed` slots stay visible; distances count slots, as positions of [slots; memory; segment]. The convolution learns from the attention-reconstruction loss only, and nothing else learns from that."""
    name = 'compressive'

    def __init__(self, width, heads, segment=256, memory=256, compressed=64, rate=4):
        super().__init__(width, heads, segment=segment, memory=memory, compressed=compressed, rate=rate)
        self.compress = nn.Linear(rate * width, width, bias=False)
        self.reconstruction = 0

    def start(self):
        """The convolution begins as the mean."""
        width = self.compress.out_features
        with torch.no_grad(): self.compress.weight.copy_(torch.eye(width).repeat(1, self.settings['rate']) / self.settings['rate'])

    def slots(self, y):
        rate = self.settings['rate']
        n = (y.shape[1] + rate - 1) // rate
        return self.compress(F.pad(y, (0, 0, 0, rate - 1))[:, :n * rate].reshape(y.shape[0], n, -1))

    def core(self, q, k, v, r, u, v_bias, slot_k, slot_v):
        n, keys, count, rate = q.shape[2], k.shape[2], slot_k.shape[2], self.settings['rate']
        row = torch.arange(n, device=q.device)[:, None]
        slot = torch.arange(count, device=q.device)[None]
        if keys == n:  # one text from its start: a slot for each `rate` tokens
            start = row - row % self.settings['segment']
            memory = start.clamp_max(self.settings['memory'])
            complete = (start - memory) // rate
        else:  # a segment with its memory and its slots
            start, memory, complete = torch.zeros_like(row), keys - n, count
        visible = (slot < complete) & (slot >= complete - self.settings['compressed'])
        far = (row - start + memory + complete - slot).clamp(0, r.shape[1] - 1)
        table = (q + v_bias[:, None]) @ r.transpose(-1, -2)
        position = table.gather(-1, far.expand(*q.shape[:2], n, count))
        old = ((q + u[:, None]) @ slot_k.transpose(-1, -2) + position) * q.shape[-1] ** -0.5
        recent = self.relative_scores(q, k, r, u, v_bias).masked_fill(~self.visible(q, k), HIDDEN)
        return torch.cat([old.masked_fill(~visible, HIDDEN), recent], -1).softmax(-1) @ torch.cat([slot_v, v], 2)

    def forward(self, y, angles, state=None):
        seen = y if not state else torch.cat([state['memory'], y], 1)
        slots = self.slots(y) if state is None else state.get('slots', y[:, :0])
        q, k, v = self.split(self.q(y)), self.split(self.k(seen)), self.split(self.v(seen))
        slot_k, slot_v = self.split(self.k(slots)), self.split(self.v(slots))
        farthest = k.shape[2] + (0 if state is None else slots.shape[1])
        context = self.attend(q, k, v, r=self.relative(q, farthest), u=self.u, v_bias=self.v_bias, slot_k=slot_k, slot_v=slot_v)
        if state is not None: self.remember(y.detach(), seen.detach(), slots.detach(), state)
        return self.merge(context)

    def remember(self, y, seen, slots, state):
        memory = self.settings['memory']
        old, state['memory'] = seen[:, :-memory], seen[:, -memory:]
        self.reconstruction = 0
        if old.shape[1]:
            new = self.slots(old)
            self.reconstruction = F.mse_loss(self.content(y, new), self.content(y, old))
            slots = torch.cat([slots, new.detach()], 1)[:, -self.settings['compressed']:]
        state['slots'] = slots

    def content(self, y, memory):
        """Attention to a memory by content alone, the projections held fixed."""
        q, k, v = (self.split(F.linear(x, m.weight.detach())) for x, m in ((y, self.q), (memory, self.k), (memory, self.v)))
        return F.scaled_dot_product_attention(q, k, v)

    def penalty(self): return self.reconstruction


def entmax(x, alpha, steps=8, tolerance=None):
    """alpha-entmax of the last axis, alpha in (1, 2). Newton on ||((alpha - 1) x - tau)+||_k = 1, k = 1 / (alpha - 1): the norm is convex in tau and
    nearly straight, so a start from the left converges from the left, in few steps for any alpha. Stops early where `tolerance` is given."""
    k = 1 / (alpha - 1)
    x = (x - x.amax(-1, keepdim=True)) * (alpha - 1)
    tau = torch.full_like(x[..., :1], -1.0)
    for _ in range(steps):
        u = (x - tau).clamp_min(0)
        lower = u.pow(k - 1)
        total = (lower * u).sum(-1, keepdim=True)
        move = (total - total.pow(1 - 1 / k)) / lower.sum(-1, keepdim=True)  # (norm - 1) / slope of the norm
        tau = tau + move
        if tolerance and move.abs().max() < tolerance: break
    p = (x - tau).clamp_min(0).pow(k)
    return p / p.sum(-1, keepdim=True)


class Entmax(torch.autograd.Function):
    """Gradients of Correia et al. 2019, proposition 1."""
    @staticmethod
    def forward(ctx, x, alpha):
        p = entmax(x, alpha, tolerance=1e-5)
        ctx.save_for_backward(p, alpha)
        return p

    @staticmethod
    def backward(ctx, g):
        p, alpha = ctx.saved_tensors
        s = p.pow(2 - alpha)
        total = s.sum(-1, keepdim=True)
        mean = (s * g).sum(-1, keepdim=True) / total  # of g under the shares s / total
        entropy = -torch.special.xlogy(p, p)
        # sum over keys of g times [(p - s / total) / (alpha - 1)^2 + (entropy - s / total * sum of entropy) / (alpha - 1)]
        da = ((p * g).sum(-1, keepdim=True) - mean) / (alpha - 1) ** 2 + ((entropy * g).sum(-1, keepdim=True) - mean * entropy.sum(-1, keepdim=True)) / (alpha - 1)
        return s * (g - mean), da.sum_to_size(alpha.shape)


class EntmaxAttention(Attention):
    """Correia et al. 2019: alpha-entmax in the place of softmax, alpha = 1 + sigmoid(a), one a head, learned."""
    name, native = 'entmax', True

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.a = nn.Parameter(torch.zeros(self.h))

    def tensors(self, q): return dict(alpha=1 + self.a.sigmoid())

    def core(self, q, k, v, alpha):
        s = scores(q, k).masked_fill(distances(q, k) < 0, -1e4)
        return (entmax if not self.training else Entmax.apply)(s, alpha[:, None, None]) @ v


class Shaped(Attention):
    """He & Hofmann 2024: alpha I + beta A - gamma C, C = A at zero scores; gains learned, one a head. No values, no output projection: W_V = W_O = I.
    W_Q starts at zero, so each block starts as the identity."""
    name, native = 'shaped', True

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.v = self.o = None
        self.alpha, self.beta, self.gamma = (nn.Parameter(torch.ones(self.h)) for _ in range(3))

    def start(self): nn.init.zeros_(self.q.weight)
    def tensors(self, q): return dict(alpha=self.alpha, beta=self.beta, gamma=self.gamma)

    def project(self, y, angles):
        return rotate(self.split(self.q(y)), *angles), rotate(self.split(self.k(y)), *angles), self.split(y)

    def core(self, q, k, v, alpha, beta, gamma):
        d = distances(q, k)
        mean = (d >= 0).float() / (d >= 0).float().sum(-1, keepdim=True)
        weights = scores(q, k).masked_fill(d < 0, HIDDEN).softmax(-1)
        gain = lambda g: g[:, None, None]
        return (gain(alpha) * (d == 0).float() + gain(beta) * weights - gain(gamma) * mean) @ v

    def merge(self, context): return context.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    def __init__(self, width, inner=None):
        super().__init__()
        inner = inner or int(8 * width / 3 / 32) * 32
        self.g, self.u = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.dn = nn.Linear(inner, width, bias=False)

    def forward(self, x): return self.dn(F.silu(self.g(x)) * self.u(x))
    def penalty(self): return 0


class Switch(nn.Module):
    """Fedus et al. 2021: a router sends each token to one of several feed-forwards and scales what comes back by its probability. In training an expert
    takes at most `capacity` times its fair share, in order; the others go on as they are. When the model is used nothing is dropped."""
    name, native = 'switch', True

    def __init__(self, width, experts=4, capacity=1.25, balance=0.01):
        super().__init__()
        self.experts, self.capacity, self.balance = experts, capacity, balance
        self.router = nn.Linear(width, experts, bias=False)
        self.e = nn.ModuleList(FeedForward(width) for _ in range(experts))
        self.aux = 0

    def core(self, x, router, *experts):
        """Every expert for every token: what an export needs. `experts`: gate, up and down weights of each in turn."""
        p = F.linear(x, router).softmax(-1)
        chosen = p.argmax(-1)
        parts = [F.linear(F.silu(F.linear(x, g)) * F.linear(x, u), dn) for g, u, dn in zip(experts[::3], experts[1::3], experts[2::3])]
        return sum(torch.where(chosen == i, p[..., i], 0.)[..., None] * part for i, part in enumerate(parts))

    def weights(self): return [self.router.weight, *(w.weight for e in self.e for w in (e.g, e.u, e.dn))]

    def forward(self, x):
        if getattr(self, 'exporting', False):
            return torch.onnx.ops.symbolic('attention_inspector::switch', [x, *self.weights()], dict(experts=self.experts), dtype=x.dtype, shape=x.shape, version=1)
        flat = x.flatten(0, 1)
        p = self.router(flat).softmax(-1)
        chosen = p.argmax(-1)
        out = torch.zeros_like(flat)
        for i, e in enumerate(self.e):
            at = (chosen == i).nonzero()[:, 0]
            if self.training: at = at[:math.ceil(len(flat) / self.experts * self.capacity)]
            out = out.index_add(0, at, e(flat[at]) * p[at, i:i + 1])
        self.aux = self.balance * self.experts * (F.one_hot(chosen, self.experts).float().mean(0) * p.mean(0)).sum()
        return out.view_as(x)

    def penalty(self): return self.aux


class Block(nn.Module):
    def __init__(self, width, attention, feedforward):
        super().__init__()
        self.n1, self.n2 = RMSNorm(width), RMSNorm(width)
        self.a, self.f = attention, feedforward

    def forward(self, x, angles, **state):
        x = x + self.a(self.n1(x), angles, **state)
        return x + self.f(self.n2(x))

    def penalty(self): return self.a.penalty() + self.f.penalty()


class ParallelBlock(nn.Module):
    """SAS-P: attention and feed-forward side by side on the same input, and no way around them."""
    def __init__(self, width, attention, feedforward):
        super().__init__()
        self.n1, self.a, self.f = RMSNorm(width), attention, feedforward
        self.attention_gain, self.feedforward_gain = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.2))

    def forward(self, x, angles):
        y = self.n1(x)
        return self.attention_gain * self.a(y, angles) + self.feedforward_gain * self.f(y)

    def penalty(self): return 0


class LanguageModel(nn.Module):
    """`embedding`: width of the embedding table, factorised where it is not the model's (ALBERT). `shared`: one block for all layers.
    `switch`: every second feed-forward has that many experts."""
    def __init__(self, vocab=4096, layers=4, width=128, heads=8, attention=Attention, settings={}, causal=True, longest=512,
                 inner=None, embedding=None, shared=False, switch=0, block=Block):
        super().__init__()
        self.layers, self.attention = layers, attention
        self.e = nn.Embedding(vocab, embedding or width)
        self.up = nn.Linear(embedding, width, bias=False) if embedding else None
        if attention.positions == 'learned': self.p = nn.Embedding(longest, width)
        feedforward = lambda layer: Switch(width, switch) if switch and layer % 2 else FeedForward(width, inner)
        settings = settings if causal else settings | dict(causal=False)
        self.b = nn.ModuleList(block(width, attention(width, heads, **settings), feedforward(layer)) for layer in range(1 if shared else layers))
        self.n = RMSNorm(width)
        for name, p in self.named_parameters():
            if p.dim() < 2 or name.endswith(('.u', '.v_bias')): continue
            std = 0.02 if name in ('e.weight', 'p.weight') else p.shape[-1] ** -0.5 if 'dn' not in name else width ** -0.5
            if name.endswith(('o.weight', 'dn.weight')): std *= (2 * layers) ** -0.5
            nn.init.normal_(p, std=std)
        for m in self.modules():
            if hasattr(m, 'start'): m.start()
        dim = width // heads
        self.register_buffer('inv', 10000.0 ** (-torch.arange(0, dim, 2).float() / dim), persistent=False)

    @property
    def recurrent(self): return issubclass(self.attention, TransformerXL)

    def hidden(self, ids, states=None):
        """ids [batch, tokens] -> [batch, tokens, width]. `states`: for recurrent models, one dictionary a layer, changed in place."""
        n = ids.shape[1]
        angle = torch.arange(n, device=ids.device).float()[:, None] * self.inv[None]
        angles = angle.cos(), angle.sin()
        x = self.e(ids)
        if self.up is not None: x = self.up(x)
        if hasattr(self, 'p'): x = x + self.p(torch.arange(n, device=ids.device))
        for layer in range(self.layers):
            block = self.b[layer % len(self.b)]
            x = block(x, angles, state=states[layer]) if states else block(x, angles)
        return self.n(x)

    def forward(self, ids, states=None):
        """-> logits [batch, tokens, vocab]"""
        x = self.hidden(ids, states)
        if self.up is not None: x = x @ self.up.weight
        return x @ self.e.weight.T * (8 * self.n.w.shape[0] ** -0.5)

    def penalty(self): return sum(b.penalty() for b in self.b)


class Retriever(nn.Module):
    """Nearest chunks of a small database in the model itself. A chunk's key is the sum of fixed random vectors of its tokens, rarer tokens weighing
    more: frozen, as the keys of RETRO are, and far plainer."""
    def __init__(self, vocab, chunk=64, neighbours=2, entries=4096, width=48):
        super().__init__()
        self.chunk, self.neighbours = chunk, neighbours
        generator = torch.Generator().manual_seed(11)
        self.register_buffer('vectors', torch.randn(vocab, width, generator=generator))
        self.register_buffer('keys', torch.zeros(entries, width))
        self.register_buffer('texts', torch.zeros(entries, 2 * chunk, dtype=torch.int16))  # a chunk and what follows it

    def fill(self, books):
        """Chunks evenly from all books. To be called once; checkpoints have it."""
        counts = torch.bincount(torch.from_numpy(books[:10_000_000].astype('int64')), minlength=len(self.vectors)) + 10
        rarity = (counts.sum() / counts).log()
        rarity = rarity - rarity.min()
        self.vectors.mul_(rarity[:, None] / rarity.max())
        at = torch.linspace(0, len(books) - 2 * self.chunk - 1, len(self.keys)).long()
        self.texts.copy_(torch.stack([torch.from_numpy(books[a:a + 2 * self.chunk].astype('int16')) for a in at.tolist()]))
        self.keys.copy_(self.key(self.texts[:, :self.chunk].long()))

    def key(self, ids): return unit(self.vectors[ids].sum(-2))

    @torch.no_grad()
    def forward(self, ids):
        """ids [batch, chunks, chunk] -> [batch, chunks, neighbours, 2 chunk]"""
        likeness = self.key(ids) @ self.keys.T
        # In training the text may stand in the database itself: what is nearly the same is not a neighbour but the answer.
        if self.training: likeness = likeness.masked_fill(likeness > 0.9, -2)
        return self.texts[likeness.topk(self.neighbours, -1).indices].long()


class ChunkedCross(Attention):
    """RETRO (Borgeaud et al. 2022): the last token of a chunk and all but the last of the next attend to the neighbours of that chunk; token i reads those
    of chunk floor((i + 1) / chunk) - 1, the first ones nothing."""
    name, native, positions = 'retro', True, 'none'

    def forward(self, y, neighbours):
        """neighbours [batch, chunks, tokens, width]"""
        q = self.split(self.q(y))
        k, v = (m(neighbours).unflatten(-1, (self.h, -1)).transpose(2, 3) for m in (self.k, self.v))
        return self.merge(self.attend(q, k, v))

    def core(self, q, k, v):
        """q [batch, heads, tokens, dim]; k, v [batch, chunks, heads, neighbour tokens, dim], a chunk for each begun one of the text"""
        n, size, chunks = q.shape[2], self.settings['chunk'], k.shape[1]
        shifted = F.pad(q, (0, 0, 0, size))[:, :, size - 1:]
        shifted = F.pad(shifted, (0, 0, 0, size))[:, :, :chunks * size].unflatten(2, (chunks, size)).transpose(1, 2)
        read = (scores(shifted, k).softmax(-1) @ v).transpose(1, 2).flatten(2, 3)
        return F.pad(read, (0, 0, size - 1, 0))[:, :, :n]


class Retro(LanguageModel):
    """The dense model with chunked cross-attention in layers 1 and 3, to neighbours that one bidirectional block has encoded."""
    def __init__(self, chunk=64, **settings):
        super().__init__(**settings)
        width, heads = self.n.w.shape[0], self.b[0].a.h
        self.chunk = chunk
        self.retriever = Retriever(self.e.num_embeddings, chunk)
        self.encoder = Block(width, Attention(width, heads, causal=False), FeedForward(width))
        self.cross = nn.ModuleDict({str(layer): ChunkedCross(width, heads, chunk=chunk) for layer in range(1, self.layers, 2)})
        self.norms = nn.ModuleDict({layer: RMSNorm(width) for layer in self.cross})
        for name, p in [*self.encoder.named_parameters(), *self.cross.named_parameters()]:
            if p.dim() == 2: nn.init.normal_(p, std=width ** -0.5 * ((2 * self.layers) ** -0.5 if name.endswith(('o.weight', 'dn.weight')) else 1))

    def angles(self, n, device):
        angle = torch.arange(n, device=device).float()[:, None] * self.inv[None]
        return angle.cos(), angle.sin()

    def hidden(self, ids, states=None):
        batch, n = ids.shape
        chunks = (n + self.chunk - 1) // self.chunk
        found = self.retriever(F.pad(ids, (0, self.chunk - 1))[:, :chunks * self.chunk].unflatten(1, (chunks, self.chunk)))
        encoded = self.encoder(self.e(found.flatten(0, 2)), self.angles(found.shape[-1], ids.device))
        encoded = encoded.view(batch, chunks, -1, encoded.shape[-1])
        x, angles = self.e(ids), self.angles(n, ids.device)
        for layer, block in enumerate(self.b):
            x = x + block.a(block.n1(x), angles)
            if str(layer) in self.cross: x = x + self.cross[str(layer)](self.norms[str(layer)](x), encoded)
            x = x + block.f(block.n2(x))
        return self.n(x)


# What is trained: the model and how. 10 million tokens each, in the same windows.
DECODER = dict(kind='decoder', tokens=10_000_000, window=512, streams=8, lr=2e-3, micro=2)
PROSE = dict(kind='decoder', title='prose-2m', micro=2, longest=2048, weights='float32', model=dict(layers=6, width=160))
MODELS = {
    'dense': DECODER | dict(title='Dense'),
    'adaptive-span': DECODER | dict(title='Adaptive span', model=dict(attention=AdaptiveSpan, settings=dict(ramp=32))),
    'lsh': DECODER | dict(title='Reformer', micro=1, model=dict(attention=LSH, settings=dict(bucketSize=64, rounds=2, buckets=8))),
    'routing': DECODER | dict(title='Routing Transformer', micro=1, model=dict(attention=Routing)),
    'transformer-xl': DECODER | dict(title='Transformer-XL', model=dict(attention=TransformerXL)),
    'strided': DECODER | dict(title='Sparse Transformer', model=dict(attention=Strided, settings=dict(stride=32))),
    'compressive': DECODER | dict(title='Compressive Transformer', weights='int8', model=dict(attention=Compressive)),
    'entmax': DECODER | dict(title='Adaptively sparse', micro=1, model=dict(attention=EntmaxAttention)),
    'shaped': DECODER | dict(title='Simplified block (SAS-P)', model=dict(attention=Shaped, block=ParallelBlock, inner=400)),
    'switch': DECODER | dict(title='Switch', weights='int8', model=dict(switch=4)),
    'albert': DECODER | dict(title='ALBERT', model=dict(shared=True, embedding=64)),
    'encoder': DECODER | dict(title='Masked-LM encoder', kind='encoder', model=dict(vocab=4099, causal=False)),
    'retro': DECODER | dict(title='RETRO', micro=1, weights='int8', kind_of_model=Retro),
    # The data level: the dense model once more, its text chosen or ordered (data.py, Streams).
    'dense-unique': DECODER | dict(title='Dense, without repeated text', order='unique'),
    'dense-length': DECODER | dict(title='Dense, short windows first', order='length'),
    'dense-rarity': DECODER | dict(title='Dense, frequent tokens first', order='rarity'),
    'dense-loss': DECODER | dict(title='Dense, the harder half of twice the text', order='loss'),
    # The bundled model: from the weights of earlier ones, more windows in which something far back matters; then longer windows, and more of them.
    'prose': PROSE | dict(tokens=2_400_000, lr=4e-4, mixture='both'),
    'prose-long': PROSE | dict(tokens=1_600_000, lr=3e-4, mixture='long'),
    'prose-longer': PROSE | dict(tokens=4_500_000, lr=7e-4, mixture='longer'),
}


def build(name):
    return MODELS[name].get('kind_of_model', LanguageModel)(**MODELS[name].get('model', {}))
