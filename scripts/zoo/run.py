"""Trains everything, a slice at a time, and exports what is done. Stop it when you like: started again, it goes on.

usage: run.py [--slice 12] [--tokens N] [--only NAME ...] [--init model.onnx ...] [--home FOLDER] [--corpus FOLDER] [--code FOLDER] [--out FOLDER]
Every slice is a process of its own, so a change of the recipe counts from the next slice on. HOME/queue.json says where the queue is.
"""
import json, os, subprocess, sys
import data
from model import MODELS
from train import target

# Round-robin over these; the bundled model has every third slice.
ORDER = ['dense', 'adaptive-span', 'lsh', 'routing', 'transformer-xl', 'strided', 'compressive', 'entmax', 'shaped', 'switch', 'albert', 'encoder', 'retro']
# When all of these are done: the data level.
LATER = ['dense-unique', 'dense-length', 'dense-rarity', 'dense-loss']




def tokens(home, name):
    try: return json.loads(open(f'{home}/{name}/log.jsonl').read().strip().split('\n')[-1])['tokens']
    except (FileNotFoundError, ValueError): return 0


def main():
    parser = data.arguments(__doc__)
    parser.add_argument('--slice', type=float, default=12, help='CPU minutes of a slice')
    parser.add_argument('--tokens', type=float, help='train each to that many tokens for now and keep the checkpoint (train.py)')
    parser.add_argument('--only', nargs='*', help='these in turn, nothing else'); parser.add_argument('--init', nargs='+', default=[], help='weights that the bundled model begins with (train.py)')
    parser.add_argument('--out', help='exported models (default: HOME/models)')
    a = parser.parse_args()
    place, here = a.home + '/queue.json', os.path.dirname(os.path.abspath(__file__))
    common = ['--home', a.home, '--corpus', a.corpus, '--code', a.code]
    # glibc gives large blocks back to the system at once and gets them anew page by page: a third of the time. One thread, so that others can work.
    environment = dict(os.environ, OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'), MALLOC_MMAP_THRESHOLD_='4294967296', MALLOC_TRIM_THRESHOLD_='8589934592', MALLOC_TOP_PAD_='268435456')
    failed, stop = set(), ['--tokens', str(a.tokens)] if a.tokens else []
    isopen = lambda name: name not in failed and tokens(a.home, name) < target(MODELS[name], a.tokens)
    turn = json.load(open(place))['next'] if os.path.exists(place) and not a.only else 0
    while True:
        names = a.only or [n for i, name in enumerate(ORDER) for n in ([name, 'prose'] if i % 2 else [name])]
        if not any(map(isopen, names)): names = LATER
        if not any(map(isopen, names)): break
        while not isopen(names[turn % len(names)]): turn += 1
        name = names[turn % len(names)]
        turn += 1
        with open(place + '.new', 'w') as f: json.dump(dict(next=turn % len(names), now=name), f)
        os.replace(place + '.new', place)
        init = ['--init', *a.init] if a.init and 'mixture' in MODELS[name] else []
        code = subprocess.run([sys.executable, here + '/train.py', name, '--minutes', str(a.slice), *init, *stop, *common], env=environment).returncode
        if code: failed.add(name); print(name, 'stopped with', code, flush=True)
        elif tokens(a.home, name) >= MODELS[name]['tokens']: subprocess.run([sys.executable, here + '/export.py', name, *common[:2], '--out', a.out or a.home + '/models'], env=environment)


if __name__ == '__main__': main()
