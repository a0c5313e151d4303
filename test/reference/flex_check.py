"""Runs an exported FlexAttention plan in PyTorch and compares it with our own mechanisms.

    npx tsx test/reference/flexData.ts /tmp/flex
    python test/reference/flex_check.py /tmp/flex

Needs torch (2.5 or later), numpy and safetensors. Checks, for every head of every layer: the mask is the set of pairs that our
mechanism keeps, pair by pair; and flex_attention with it gives our output (where both are one softmax).
"""
import base64
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.attention.flex_attention import create_mask, flex_attention

folder = Path(sys.argv[1])
compiled = "--compile" in sys.argv
device = "cuda" if "--cuda" in sys.argv else "cpu"
sys.path.insert(0, str(folder))
plan = importlib.import_module("plan")
expected = json.loads((folder / "expected.json").read_text())
tensors = load_file(folder / "tensors.safetensors")
tokens = expected["tokens"]
torch._dynamo.config.recompile_limit = 64  # a mask of its own in every layer
if compiled:
    plan.flex_attention = torch.compile(flex_attention, dynamic=False)

failures = 0
checked = {}
for layer in range(len(plan.LAYERS)):
    heads = [head for head in expected["heads"] if head["core"] == layer]
    assert plan.HEADS[layer] == len(heads)
    mask_mod, _ = plan.LAYERS[layer](device)
    mask = create_mask(mask_mod, 1, len(heads), tokens, tokens, device=device)[0].cpu().numpy()
    q, k, v = (tensors[f"{layer}.{name}"][None].to(device) for name in "qkv")
    out = plan.attend(layer, q, k, v, plan.block_mask(layer, tokens, device), scale=heads[0]["scale"])[0].cpu()
    for head in heads:
        packed = np.frombuffer(base64.b64decode(head["bits"]), dtype=np.uint8).reshape(tokens, -1)
        ours = np.unpackbits(packed, axis=1, bitorder="little")[:, :tokens].astype(bool)
        wrong = int((mask[head["head"]] != ours).sum())
        name = f"{head['mechanism']} ({head['kind']})"
        pairs, differ = checked.get(name, (0, 0.0))
        difference = 0.0
        reference = tensors.get(f"{layer}.output.{head['head']}")
        if reference is not None and not head["averaged"]:
            difference = float((out[head["head"]] - reference).abs().max() / reference.abs().max())
        checked[name] = (pairs + int(ours.sum()), max(differ, difference))
        if wrong or difference > 2e-5:
            failures += 1
            print(f"layer {layer}, head {head['head']}, {name} {head['params']}: {wrong} pairs differ, output {difference:.1e}")

for name, (pairs, difference) in sorted(checked.items()):
    print(f"{name:32} {pairs:9} pairs, largest relative difference of the output {difference:.1e}")
print("FAILED" if failures else "the same masks", f"in {len(expected['heads'])} heads")
sys.exit(1 if failures else 0)
