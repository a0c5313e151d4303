"""Small models whose masks and biases are written in many ways, exported by PyTorch, with PyTorch's own probabilities.

    python test/reference/mask_forms.py FOLDER [pattern of names]
    MASK_FORMS=FOLDER npx mocha test/engine/maskForms.test.ts

Needs torch, onnx and safetensors. Two layers of four heads; `scores` in each form gets the scaled scores [1, heads, tokens, tokens],
the positions of queries `i` [tokens, 1] and keys `j` [1, tokens] as whole numbers, their distance `d` = i - j, the number of tokens
`n`, the token ids, and the layer. Each model is written with texts of several lengths, and for each with the rows of
the probabilities of every layer and of the logits (`N.safetensors`).
"""
import json
import math
import re
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

HEADS, DIM, WORDS = 4, 8, 50
WIDTH = HEADS * DIM
LOW = torch.finfo(torch.float32).min
SLOPES = torch.tensor([0.4, 0.1, 0.02, 0.004]).view(1, HEADS, 1, 1)


def keep(scores, seen):
    return scores.masked_fill(~seen, LOW)


def causal(scores, i, j, **_):
    return keep(scores, j <= i)


FORMS = {}
# Learned or fixed tensors of a form by name, given as `t`.
TABLES = {}


def form(*lengths):
    """A form, tried at `lengths`."""

    def add(scores):
        FORMS[scores.__name__.replace("_", "-")] = (scores, lengths or (61, 400, 1500))
        return scores

    return add


# ---- chunks and blocks


@form()
def chunks_of_37(s, i, j, **_):
    return keep(s, (i // 37 == j // 37) & (j <= i))


@form(100, 1000)
def whole_chunks_of_129(s, i, j, **_):
    return keep(s, i // 129 == j // 129)


@form(50, 700)
def chunks_growing_with_layer(s, i, j, layer, **_):
    size = [48, 160][layer]
    return keep(s, (torch.div(i, size, rounding_mode="floor") == torch.div(j, size, rounding_mode="floor")) & (j <= i))


@form(200, 1500)
def block_sparse(s, i, j, **_):
    return keep(s, (((i // 32 - j // 32) % 3) == 0) & (j <= i))


@form(100, 900)
def block_causal(s, i, j, **_):
    return keep(s, j // 16 <= i // 16)


@form(100, 1200)
def block_causal_window(s, i, j, **_):
    return keep(s, (j // 20 <= i // 20) & (d_of(i, j) < 150))


@form(300, 1500)
def blocks_by_table(s, i, j, t, **_):
    return keep(s, t["blocks"][(i // 64).clamp(max=31), (j // 64).clamp(max=31)] & (j <= i))


TABLES["blocks-by-table"] = lambda: {"blocks": (torch.rand(32, 32, generator=torch.Generator().manual_seed(5)) < 0.4) | torch.eye(32, dtype=torch.bool)}


@form(300, 1300)
def fixed_summaries(s, i, j, **_):
    return keep(s, ((i // 64 == j // 64) | (j % 64 >= 60)) & (j <= i))


@form(300, 1300)
def alibi_in_chunks(s, i, j, d, **_):
    return keep(s - SLOPES * d, (i // 90 == j // 90) & (j <= i))


@form(200, 1000)
def soft_chunks(s, i, j, **_):
    return keep(s - 3.0 * (i // 75 != j // 75), j <= i)


# ---- windows


def d_of(i, j):
    return i - j


@form(60, 700)
def window_growing_with_layer(s, i, j, d, layer, **_):
    return keep(s, (d < [17, 200][layer]) & (j <= i))


@form(100, 800)
def dilated_window(s, i, j, d, **_):
    return keep(s, (d % 3 == 0) & (d < 200) & (d >= 0))


@form(100, 800)
def dilation_by_head(s, i, j, d, t, **_):
    return keep(s, (d % t["steps"] == 0) & (d >= 0))


TABLES["dilation-by-head"] = lambda: {"steps": torch.tensor([1, 2, 5, 11]).view(1, HEADS, 1, 1)}


@form(100, 1500)
def windows_by_head(s, i, j, d, t, **_):
    return keep(s, (d.float() < t["windows"].exp()) & (d >= 0))


TABLES["windows-by-head"] = lambda: {"windows": torch.tensor([1.3, 3.7, 5.2, 6.6]).view(1, HEADS, 1, 1)}


@form(100, 1000)
def soft_windows(s, i, j, d, t, **_):
    return keep(s - nn.functional.softplus(d.float() - t["windows"].exp()), j <= i)


TABLES["soft-windows"] = TABLES["windows-by-head"]


@form(100, 600)
def softer_outside(s, i, j, d, **_):
    return keep(s - 10.0 * (d > 128).float(), j <= i)


@form(100, 1500)
def window_of_a_fifth(s, i, j, d, n, **_):
    return keep(s, (d < n // 5 + 3) & (j <= i))


@form(100, 900)
def window_by_squares(s, i, j, d, **_):
    return keep(s, (d * d < 40000) & (j <= i))


@form(100, 900)
def window_by_fractions(s, i, j, d, **_):
    return keep(s, (d.float() / 3 < 66.7) & (j <= i))


@form(100, 900)
def window_from_tens(s, i, j, **_):
    return keep(s, ((i // 10) * 10 - j < 200) & (j <= i))


@form(100, 900)
def capped_window(s, i, j, d, **_):
    return keep(20 * torch.tanh(s / 20), (d < 170) & (j <= i))


@form(100, 900)
def triangles(s, i, j, n, **_):
    ones = torch.ones(n, n)
    return s + torch.triu(torch.full((n, n), LOW), diagonal=1) + torch.tril(ones * -1e9, diagonal=-250)


@form(100, 1500)
def first_tokens_and_window(s, i, j, d, **_):
    return keep(s, ((d < 128) | (j < 4)) & (j <= i))


@form(100, 900)
def first_tokens_and_both_sides(s, i, j, d, **_):
    return keep(s, (d.abs() <= 40) | (j < 2))


@form(100, 900)
def alibi_in_a_window(s, i, j, d, **_):
    return keep(s - SLOPES * d, (d < 140) & (j <= i))


@form(300, 1300)
def strided(s, i, j, d, **_):
    return keep(s, ((d < 32) | (d % 32 == 0)) & (j <= i))


@form(300, 1500)
def hidden_strip(s, i, j, **_):
    return keep(s, ~((i > 1000) & (j >= 500) & (j < 600)) & (j <= i))


@form(100, 900)
def all_but_itself(s, i, j, **_):
    return keep(s, ((j < i) | ((i == 0) & (j == 0))))


@form(100, 900)
def only_what_comes(s, i, j, **_):
    return keep(s, j >= i)


# ---- prefixes, columns and odd places


@form(100, 400, 900)
def prefix_of_150(s, i, j, **_):
    return keep(s, (j < 150) | (j <= i))


@form(100, 400, 900)
def prefix_of_a_third(s, i, j, n, **_):
    return keep(s, (j < n // 3) | (j <= i))


@form(100, 900)
def every_seventh_hidden(s, i, j, **_):
    return keep(s, ((j % 7 != 0) | (j == i)) & (j <= i))


@form(100, 900)
def columns_for_all(s, i, j, d, **_):
    return keep(s, ((d < 60) | (j % 100 == 0)) & (j <= i))


@form(300, 900, 2000)
def one_odd_query(s, i, j, **_):
    return keep(s, ~((i * i == 777 * 777) & (j > 300)) & (j <= i))


@form(300, 900, 2000)
def one_odd_key(s, i, j, **_):
    return keep(s, ~((j * j == 601 * 601) & (j < i)) & (j <= i))


@form(300, 2500)
def one_odd_pair(s, i, j, **_):
    return keep(s, ~((i * 7919 + j) == 1999 * 7919 + 1234) & (j <= i))


@form(100, 1025)
def bits_in_common(s, i, j, **_):
    return keep(s, (torch.bitwise_and(i, j) == 0) | (i == j) | (j > i + 9999) | ((i % 5 == 0) & (j <= i)))


@form(100, 900)
def parity(s, i, j, **_):
    return keep(s + 0.7 * ((i + j) % 2).float(), j <= i)


# ---- what depends on the text


@form(100, 700)
def documents(s, i, j, ids, **_):
    number = (ids == 1).long().cumsum(-1)
    return keep(s, (number[:, None, :, None] == number[:, None, None, :]) & (j <= i))


@form(100, 700)
def whole_documents(s, i, j, ids, **_):
    number = (ids == 1).long().cumsum(-1)
    return keep(s, number[:, None, :, None] == number[:, None, None, :])


@form(100, 700)
def window_in_documents(s, i, j, d, ids, **_):
    number = (ids == 1).long().cumsum(-1)
    return keep(s, (number[:, None, :, None] == number[:, None, None, :]) & (d < 50) & (j <= i))


@form(100, 700)
def hidden_words(s, i, j, ids, **_):
    return keep(s, ((ids != 3)[:, None, None, :] | (i == j)) & (j <= i))


@form(100, 700)
def words_for_all(s, i, j, d, ids, **_):
    return keep(s, ((ids == 2)[:, None, None, :] | (d.abs() < 30)))


@form(100, 700)
def hotter_after_a_word(s, i, j, ids, **_):
    gain = torch.where((ids == 4).long().cumsum(-1) > 2, 1.5, 1.0)
    return keep(s * gain[:, None, :, None], j <= i)


@form(100, 700)
def forgetting(s, i, j, ids, t, **_):
    gates = nn.functional.logsigmoid(t["gates"][ids] + 3).cumsum(1)
    return keep(s + (gates[:, :, None] - gates[:, None, :]).permute(0, 3, 1, 2), j <= i)


TABLES["forgetting"] = lambda: {"gates": torch.randn(WORDS, HEADS)}


# ---- biases


@form(100, 2000)
def alibi(s, i, j, d, **_):
    return keep(s - SLOPES * d, j <= i)


@form(100, 900)
def alibi_both_sides(s, i, j, d, **_):
    return s - SLOPES * d.abs()


@form(100, 900)
def alibi_uneven_sides(s, i, j, d, **_):
    return s - torch.where(d > 0, SLOPES * d, -0.5 * SLOPES * d)


@form(100, 900)
def alibi_to_300(s, i, j, d, **_):
    return keep(s - SLOPES * d.clamp(max=300), j <= i)


@form(100, 900)
def alibi_of_roots(s, i, j, d, **_):
    return keep(s - SLOPES * d.clamp(min=0).float().sqrt(), j <= i)


@form(100, 900)
def alibi_for_some_heads(s, i, j, d, t, **_):
    return keep(s - t["slopes"] * d, j <= i)


TABLES["alibi-for-some-heads"] = lambda: {"slopes": torch.tensor([0.3, 0.0, 0.05, 0.0]).view(1, HEADS, 1, 1)}


@form(100, 900)
def alibi_by_rank_of_position(s, i, j, ids, **_):
    at = torch.ones_like(ids).cumsum(-1) - 1
    return keep(s - SLOPES * (at[:, None, :, None] - at[:, None, None, :]), j <= i)


def bucket(d, count, longest):
    exact = count // 2
    far = exact + (d.clamp(min=1).float() / exact).log() / math.log(longest / exact) * (count - exact)
    return torch.where(d < exact, d, far.long().clamp(max=count - 1))


@form(100, 1200)
def buckets_both_sides(s, i, j, d, t, **_):
    side = (d < 0).long() * 16
    return s + t["table"][side + bucket(d.abs(), 16, 400)].permute(2, 0, 1)


@form(100, 1500)
def buckets_to_1000(s, i, j, d, t, **_):
    return keep(s + t["table"][bucket(d.clamp(min=0), 32, 1000)].permute(2, 0, 1), j <= i)


@form(100, 1500)
def buckets_of_powers(s, i, j, d, t, **_):
    return keep(s + t["table"][(d.clamp(min=0).float() + 1).log2().floor().long()].permute(2, 0, 1), j <= i)


for name in ("buckets-both-sides", "buckets-to-1000", "buckets-of-powers"):
    TABLES[name] = lambda: {"table": torch.randn(32, HEADS)}


@form(100, 900)
def clipped_table(s, i, j, d, t, **_):
    return s + t["table"][d.clamp(-128, 128) + 128].permute(2, 0, 1)


TABLES["clipped-table"] = lambda: {"table": torch.randn(257, HEADS)}


@form(100, 500)
def table_that_ends(s, i, j, d, t, **_):
    return keep(s + t["table"][d.clamp(min=0)].permute(2, 0, 1), j <= i)


TABLES["table-that-ends"] = lambda: {"table": torch.randn(512, HEADS)}


@form(100, 900)
def decay(s, i, j, d, **_):
    return keep(s + math.log(0.97) * d, j <= i)


@form(100, 900)
def waves_of_distance(s, i, j, d, **_):
    return keep(s + torch.cos(d.float() * 0.05), j <= i)


@form(100, 900)
def waves_of_products(s, i, j, **_):
    return keep(s + torch.sin(i.float() * j.float() * 0.01), j <= i)


@form(100, 900)
def position_products(s, i, j, n, t, **_):
    return keep(s + t["rows"][:n] @ t["columns"][:n].T, j <= i)


TABLES["position-products"] = lambda: {"rows": torch.randn(1024, 8) / 2, "columns": torch.randn(1024, 8) / 2}


# ---- scales


@form(300, 1500)
def logarithm_of_position(s, i, j, **_):
    gain = ((i + 1).float().log() / math.log(256)).clamp(min=1)
    return keep(s * gain, j <= i)


@form(100, 1500)
def logarithm_of_length(s, i, j, n, **_):
    return keep(s * (torch.scalar_tensor(n).float().log() / math.log(128)), j <= i)


@form(100, 700)
def scale_by_layer(s, i, j, layer, **_):
    return keep(s / (layer + 1), j <= i)


@form(100, 700)
def scale_by_head(s, i, j, t, **_):
    return keep(s * t["scales"], j <= i)


TABLES["scale-by-head"] = lambda: {"scales": torch.tensor([0.5, 1.0, 2.0, 3.0]).view(1, HEADS, 1, 1)}


class Model(nn.Module):
    def __init__(self, name):
        super().__init__()
        torch.manual_seed(sum(map(ord, name)))
        self.scores = FORMS[name][0]
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.qkv = nn.ModuleList([nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2)])
        self.out = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(2)])
        self.norm = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)])
        self.head = nn.Linear(WIDTH, WORDS)
        self.names = []
        for key, table in TABLES.get(name, dict)().items():
            self.register_buffer(key, table)
            self.names.append(key)

    def forward(self, input_ids, maps=None):
        n = input_ids.shape[1]
        at = torch.arange(n)
        i, j = at[:, None], at[None, :]
        tables = {key: getattr(self, key) for key in self.names}
        x = self.embed(input_ids)
        for layer in range(2):
            parts = self.qkv[layer](self.norm[layer](x)).reshape(1, n, 3, HEADS, DIM).permute(2, 0, 3, 1, 4)
            q, k, v = parts[0], parts[1], parts[2]
            s = q @ k.transpose(-1, -2) * (2 / math.sqrt(DIM))
            s = self.scores(s, i=i, j=j, d=i - j, n=n, ids=input_ids, layer=layer, t=tables)
            p = s.softmax(-1)
            if maps is not None:
                maps.append(p)
            x = x + self.out[layer]((p @ v).transpose(1, 2).reshape(1, n, WIDTH))
        return self.head(x)


def export(model, path, dynamo):
    ids = torch.randint(0, WORDS, (1, 24))
    if dynamo:
        length = torch.export.Dim("tokens", min=2, max=4096)
        torch.onnx.export(
            model, (ids,), str(path), input_names=["input_ids"], output_names=["logits"], dynamo=True, opset_version=18,
            dynamic_shapes={"input_ids": {1: length}}, external_data=False, verbose=False,
        )
    else:
        torch.onnx.export(
            model, (ids,), str(path), input_names=["input_ids"], output_names=["logits"], dynamo=False, opset_version=18,
            dynamic_axes={"input_ids": {1: "tokens"}, "logits": {1: "tokens"}},
        )


def rows_of(n):
    if n <= 200:
        return list(range(n))
    odd = [0, 1, 2, 63, 64, 149, 150, 151, 300, 511, 512, 776, 777, 778, 1023, 1024, 1499, 1999, n - 2, n - 1]
    more = torch.randint(0, n, (40,), generator=torch.Generator().manual_seed(n)).tolist()
    return sorted({row for row in odd + more if row < n})


def write(name, folder, dynamo):
    model = Model(name).eval()
    at = folder / (name + ("-dynamo" if dynamo else ""))
    at.mkdir(parents=True, exist_ok=True)
    export(model, at / "model.onnx", dynamo)
    (at / "config.json").write_text(json.dumps({"vocab_size": WORDS}))
    for n in FORMS[name][1]:
        ids = torch.randint(0, WORDS, (1, n), generator=torch.Generator().manual_seed(n + 7))
        rows, maps = rows_of(n), []
        with torch.no_grad():
            logits = model(ids, maps)
        tensors = {f"attentions.{layer}": p[0, :, rows].contiguous() for layer, p in enumerate(maps)}
        tensors |= {"rows": torch.tensor(rows), "ids": ids[0].contiguous(), "logits": logits[0, rows].contiguous()}
        save_file(tensors, str(at / f"{n}.safetensors"))


def main():
    folder = Path(sys.argv[1])
    pattern = re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
    for name in FORMS:
        for dynamo in (False, True):
            if not pattern.search(name + ("-dynamo" if dynamo else "")):
                continue
            try:
                write(name, folder, dynamo)
                print(name, "dynamo" if dynamo else "script", flush=True)
            except Exception as error:  # noqa: BLE001 - an exporter that cannot write a form is not our subject
                print(name, "not exported:", str(error).splitlines()[0][:200], flush=True)


main()
