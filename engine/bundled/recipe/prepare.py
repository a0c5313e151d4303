"""Trains the tokenizer and turns text into token files.

usage: prepare.py --books books.txt --validation validation.txt [--code FOLDER ...] --out DATA
Code (any folder of readable TypeScript, JavaScript or Markdown, e.g. installed packages) is optional; a quarter of the training windows come from it.
"""
import argparse, glob, os, random
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

ap = argparse.ArgumentParser()
ap.add_argument('--books', required=True); ap.add_argument('--validation', required=True)
ap.add_argument('--code', nargs='*', default=[]); ap.add_argument('--out', required=True)
ap.add_argument('--vocab', type=int, default=4096)
ap.add_argument('--tokenizer', help='use this tokenizer.json instead of training one')
ap.add_argument('--books-bytes', type=int, default=60_000_000); ap.add_argument('--code-bytes', type=int, default=14_000_000)
a = ap.parse_args()
random.seed(0); os.makedirs(a.out, exist_ok=True)

books = open(a.books).read()
files, seen = [], set()
for root in a.code:
    for p in glob.glob(root + '/**/*', recursive=True):
        if p.endswith(('.d.ts', '.ts', '.md', '.js', '.mjs')) and os.path.isfile(p) and 2000 < os.path.getsize(p) < 80000 and 'min.' not in p and '/dist/' not in p:
            try: t = open(p).read()
            except Exception: continue
            if max(map(len, t.split('\n'))) < 300 and hash(t) not in seen:
                seen.add(hash(t)); files.append(t)
random.shuffle(files)
code = '\n\n'.join(files)[:30_000_000]

if a.tokenizer:
    tok = Tokenizer.from_file(a.tokenizer)
else:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel(); tok.post_processor = processors.ByteLevel(trim_offsets=False)
    sample = [books[i:i + 20000] for i in random.sample(range(len(books) - 20000), 400)]
    if len(code) > 40000: sample += [code[i:i + 20000] for i in random.sample(range(len(code) - 20000), 120)]
    tok.train_from_iterator(sample, trainers.BpeTrainer(vocab_size=a.vocab, special_tokens=['<|endoftext|>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tok.save(a.out + '/tokenizer.json')

def encode(text):
    ids = []
    for i in range(0, len(text), 200_000): ids.extend(tok.encode(text[i:i + 200_000]).ids)
    return np.array(ids, dtype=np.uint16)

np.save(a.out + '/books.npy', encode(books[:a.books_bytes]))
np.save(a.out + '/code.npy', encode(code[:a.code_bytes]) if code else np.zeros(0, np.uint16))
validation = open(a.validation).read()[:600_000]
np.save(a.out + '/val.npy', encode(validation))
open(a.out + '/val.bytes', 'w').write(str(len(validation.encode())))
