"""Tiny models of every mechanism with random weights, sharp enough that the mechanism matters: what a reader of such files can be tested with.

usage: samples.py FOLDER     (writes FOLDER/NAME/onnx/model.onnx, 300 tokens of vocabulary, 2 layers of 4 heads of 8)
"""
import logging, os, sys
import numpy as np, onnx, torch
import export
from check import SMALL
from model import LanguageModel, ParallelBlock, Retro


def sample(name):
    torch.manual_seed(8)
    size = dict(vocab=300, layers=2, width=32, heads=4, inner=48)
    if name == 'switch': model = LanguageModel(**size, switch=3)
    elif name == 'retro': model = Retro(chunk=8, **size)
    else:
        attention, settings = SMALL[name]
        model = LanguageModel(**size, attention=attention, settings=settings, **({'block': ParallelBlock} if name == 'shaped' else {}))
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith(('.q.weight', '.k.weight', 'router.weight')): p.normal_(std=0.5)
            elif n.endswith(('.u', '.v_bias')): p.normal_()
            elif n.endswith(('.a', '.beta', '.share')): p.uniform_(0.2, 0.8)
    if name == 'retro': model.retriever.fill(np.random.default_rng(0).integers(1, 300, 100_000).astype(np.uint16))
    return model


def main():
    logging.disable(logging.WARNING)
    for name in [*SMALL, 'switch', 'retro']:
        model = sample(name)
        path = f'{sys.argv[1]}/{name}/onnx/model.onnx'
        os.makedirs(os.path.dirname(path), exist_ok=True)
        onnx.save(export.to_onnx(model), path)
        found = export.differences(path, model, np.random.default_rng(1).integers(1, 300, 200), (2, 31, 100, 200))
        print(name, os.path.getsize(path), 'bytes, largest difference', max(found.values()))
        assert max(found.values()) < 1e-4


if __name__ == '__main__': main()
