"""Text to tokens, tokens to windows. Every window follows from (seed, step) alone, so a run can be stopped and resumed anywhere.

usage: data.py [--corpus FOLDER] [--code FOLDER] [--home FOLDER]     makes the token files, once
The corpus holds books.txt.xz (training) and validation.txt.xz (only measured on).
"""
import argparse, glob, lzma, os, shutil
import numpy as np
from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOKENIZER = os.path.join(ROOT, 'engine/bundled/prose-2m/tokenizer.json')
HOME = os.path.expanduser('~/.cache/attention-inspector-zoo')
FIRST = 0  # <|endoftext|>, the first token of every window
VOCAB = 4096
MASK, CLS, SEP = 4096, 4097, 4098  # of the encoder only


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--home', default=HOME, help='checkpoints, logs and token files (default: %(default)s)')
    parser.add_argument('--corpus', default=os.path.join(os.path.dirname(ROOT), 'shared/corpus'))
    parser.add_argument('--code', default=os.path.join(ROOT, 'node_modules'), help='any folder of readable TypeScript, JavaScript, Markdown')
    return parser


def prepare(home, corpus, code):
    """books.npy, code.npy, val.npy (uint16) and val.bytes (bytes of the validation text)."""
    folder = os.path.join(home, 'data')
    if os.path.exists(folder + '/val.bytes'): return folder
    os.makedirs(folder, exist_ok=True)
    # A copy, so that a later tokenizer of the bundled model does not change what was trained with this one.
    shutil.copy(TOKENIZER, folder + '/tokenizer.json')
    tokenizer = Tokenizer.from_file(folder + '/tokenizer.json')
    tokenizer.post_processor = None

    def save(name, text):
        ids = [tokenizer.encode(text[i:i + 200_000]).ids for i in range(0, len(text), 200_000)]
        np.save(f'{folder}/{name}.npy', np.concatenate([np.array(i, np.uint16) for i in ids] or [np.zeros(0, np.uint16)]))

    with lzma.open(corpus + '/books.txt.xz', 'rt', encoding='utf-8') as f: save('books', f.read())
    save('code', readable(code)[:14_000_000])
    with lzma.open(corpus + '/validation.txt.xz', 'rt', encoding='utf-8') as f: validation = f.read()[:600_000]
    save('val', validation)
    with open(folder + '/val.bytes', 'w') as f: f.write(str(len(validation.encode())))
    return folder


def readable(root):
    texts = {}
    for path in sorted(glob.glob(root + '/**/*', recursive=True)):
        if not path.endswith(('.d.ts', '.ts', '.md', '.js', '.mjs')) or 'min.' in path or '/dist/' in path: continue
        if not os.path.isfile(path) or not 2000 < os.path.getsize(path) < 80000: continue
        try: text = open(path, encoding='utf-8').read()
        except UnicodeDecodeError: continue
        if max(map(len, text.split('\n'))) < 300: texts.setdefault(hash(text), text)
    texts = sorted(texts.values(), key=len)
    np.random.default_rng(0).shuffle(texts)
    return '\n\n'.join(texts)


class Streams:
    """`streams` texts side by side; each stays in one place of the books for `episode` windows, so that a memory has something to remember.

    `order`, the data level, at the same number of tokens:
    plain   places at random;
    unique  the same without places of which more than a fifth stood earlier in the books (runs of 16 tokens);
    length  windows of 128, then 256, then 512 tokens, a third of the tokens each;
    rarity  texts of frequent tokens first (Platanios et al. 2019: competence grows with the root of time);
    loss    twice as many texts, of which the trainer takes those with the larger loss.
    """
    def __init__(self, tokens, streams=8, window=512, episode=4, seed=1, order='plain', steps=2442):
        self.tokens, self.streams, self.window, self.episode, self.seed, self.order, self.steps = tokens, streams, window, episode, seed, order, steps
        if order == 'unique': self.repeated = np.concatenate([[0], np.cumsum(repeated(tokens))])
        if order == 'rarity':
            counts = np.bincount(tokens[:5_000_000], minlength=VOCAB) + 1
            self.rarity = np.concatenate([[0], np.cumsum(-np.log(counts / counts.sum())[tokens])])

    def starts_episode(self, step): return step % self.episode == 0

    def starts(self, rng, share):
        length = self.episode * self.window
        draw = lambda *size: rng.integers(0, len(self.tokens) - length - 1, size)
        if self.order == 'loss': return draw(2 * self.streams)
        starts = draw(self.streams)
        if self.order == 'unique':
            while (often := self.repeated[starts + length] - self.repeated[starts] > length / 5).any(): starts = np.where(often, draw(self.streams), starts)
        if self.order == 'rarity':
            candidates = draw(self.streams, 16)
            easiest = np.argsort(self.rarity[candidates + length] - self.rarity[candidates], 1)
            pick = rng.integers(0, max(1, int(16 * min(1, (0.01 + share) ** 0.5))), self.streams)
            starts = candidates[np.arange(self.streams), easiest[np.arange(self.streams), pick]]
        return starts

    def windows(self, step, first_everywhere=True):
        """[streams, window + 1]; the first token stands at the start of each window, or of each episode only."""
        rng = np.random.default_rng((self.seed, step // self.episode))
        at = self.starts(rng, step / self.steps) + step % self.episode * self.window
        w = np.stack([self.tokens[a:a + self.window + 1] for a in at]).astype(np.int64)
        if self.order == 'length' and step < self.steps * 2 / 3:
            size = 128 if step < self.steps / 3 else 256
            w = np.concatenate([w[:, o:o + size + 1] for o in range(0, self.window, size)])
        if first_everywhere or self.starts_episode(step): w[:, 0] = FIRST
        return w


def repeated(tokens, run=16):
    """Which tokens begin a run that stood earlier."""
    hashes = np.zeros(len(tokens) - run + 1, np.uint64)
    for i in range(run): hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + np.asarray(tokens[i:len(tokens) - run + 1 + i], np.uint64) + np.uint64(1)
    order = np.argsort(hashes, kind='stable')
    again = np.zeros(len(tokens), bool)
    again[order[1:][hashes[order[1:]] == hashes[order[:-1]]]] = True
    return again


class Mixture:
    """Windows for the bundled model: plain text, and many ways in which something far back tells what comes next."""
    # How much of each kind, and shapes: (probability up to here, window, windows).
    MIXTURES = dict(
        both=(dict(plain=0.34, passage=0.26, short_random=0.18, far_random=0.10, phrases=0.03, names=0.04, records=0.03, identifiers=0.02),
              [(0.2, 512, 8), (0.5, 1024, 4), (1.0, 2048, 2)]),
        long=(dict(plain=0.48, passage=0.24, short_random=0.14, far_random=0.06, phrases=0.01, names=0.03, records=0.02, identifiers=0.02),
              [(0.1, 512, 8), (0.2, 1024, 4), (1.0, 2048, 2)]),
        longer=(dict(plain=0.58, passage=0.19, short_random=0.13, far_random=0.04, phrases=0.01, names=0.03, records=0.01, identifiers=0.01),
              [(0.1, 512, 8), (0.15, 1024, 4), (1.0, 2048, 2)]))

    def __init__(self, books, code, mixture, seed=1, code_share=0.25):
        self.books, self.code, self.seed, self.code_share = books, code, seed, code_share
        self.kinds, self.shapes = self.MIXTURES[mixture]
        self.counts = np.bincount(books[:2_000_000], minlength=VOCAB)

    def windows(self, step):
        rng = np.random.default_rng((self.seed, step))
        draw = rng.random()
        _, window, count = next(s for s in self.shapes if draw < s[0])
        return np.stack([self.one(rng, window) for _ in range(count)])

    def one(self, rng, window):
        n = window + 1
        kind = rng.choice(list(self.kinds), p=list(self.kinds.values()))
        w = getattr(self, kind)(rng, n)
        if rng.random() < 0.9: w[0] = FIRST
        return w

    def plain(self, rng, n):
        source = self.code if len(self.code) > n and rng.random() < self.code_share else self.books
        start = rng.integers(0, len(source) - n)
        return source[start:start + n].astype(np.int64)

    def passage(self, rng, n):
        """A passage again, anywhere later."""
        w = self.plain(rng, n)
        length = int(rng.integers(24, n // 2)); at = int(rng.integers(0, n - 2 * length + 1))
        again = int(rng.integers(at + length, n - length + 1))
        w[again:again + length] = w[at:at + length]
        return w

    def short_random(self, rng, n):
        """Short random passages, each repeated a few times at once: only an induction head predicts them."""
        parts, total = [], 0
        while total < n:
            length = int(rng.integers(4, 160)); times = int(rng.integers(2, 5))
            parts.append(np.tile(rng.integers(1, VOCAB, length), times)); total += length * times
        return np.concatenate(parts)[:n]

    def far_random(self, rng, n):
        w = self.plain(rng, n)
        length = int(rng.integers(24, n // 2)); at = int(rng.integers(0, n - 2 * length + 1))
        again = int(rng.integers(at + length, n - length + 1))
        w[at:at + length] = w[again:again + length] = rng.integers(1, VOCAB, length)
        return w

    def phrases(self, rng, n):
        """Short phrases, each again somewhere else."""
        w = self.plain(rng, n)
        for _ in range(n // 40):
            length = int(rng.integers(3, 10)); source = int(rng.integers(0, len(self.books) - length))
            for at in rng.integers(0, n - length, int(rng.integers(2, 4))): w[at:at + length] = self.books[source:source + length]
        return w

    def names(self, rng, n):
        """A few of the rarer tokens of a text become names of several random tokens, the same everywhere in the window."""
        w = self.plain(rng, n)
        seen, times = np.unique(w, return_counts=True)
        rare = seen[(times >= 2) & (times < 12) & (self.counts[seen] < len(self.books[:2_000_000]) / 2000)]
        if not len(rare): return w
        chosen = rng.choice(rare, min(len(rare), int(rng.integers(4, 16))), replace=False)
        names = {int(t): rng.integers(1, VOCAB, int(rng.integers(2, 5))) for t in chosen}
        return np.concatenate([names.get(int(t), np.array([t])) for t in w])[:n]

    def records(self, rng, n):
        """Key-value recall: records of a random key and value; later the keys come again, in another order, with their values."""
        key, value = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        colon, line = rng.integers(1, VOCAB, 2)
        size = key + value + 2
        count = int(rng.integers(4, max(5, n // (2 * size))))
        records = rng.integers(1, VOCAB, (count, size))
        records[:, key] = colon; records[:, -1] = line
        w = self.plain(rng, n)
        block, again = records.reshape(-1)[:n // 2], records[rng.permutation(count)].reshape(-1)[:n // 2]
        w[:len(block)] = block
        at = int(rng.integers(len(block), n - len(again) + 1))
        w[at:at + len(again)] = again
        return w

    def identifiers(self, rng, n):
        """Lines of code-like statements over identifiers that were made up at the top of the window."""
        signs = rng.integers(1, VOCAB, 6)
        names = [rng.integers(1, VOCAB, int(rng.integers(2, 6))) for _ in range(int(rng.integers(5, 30)))]
        parts, total = [], 0
        for name in names: parts += [signs[:1], name, signs[1:2]]
        while total < n:
            name = names[int(rng.integers(len(names)))]
            filler = self.code if len(self.code) > 100 else self.books
            start = int(rng.integers(0, len(filler) - 20))
            parts += [signs[2:3], name, signs[3:4], filler[start:start + int(rng.integers(0, 12))].astype(np.int64)]
            total += len(name) + 2
        return np.concatenate(parts)[:n].astype(np.int64)


if __name__ == '__main__':
    a = arguments(__doc__).parse_args()
    print(prepare(a.home, a.corpus, a.code))
