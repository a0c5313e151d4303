"""Writes docs/zoo.md from the logs of the recipe: what is trained so far, and what it measures.

usage: doc.py [--home FOLDER] [--out docs/zoo.md]
"""
import argparse, glob, json, os

GOAL = 2441 * 8 * 512  # tokens of a finished model (README.md)


def last(path):
    with open(path) as f: lines = [json.loads(line) for line in f if line.strip()]
    return lines[-1] if lines else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--home', default=os.path.expanduser('~/.cache/attention-inspector-zoo')); parser.add_argument('--out', default='docs/zoo.md')
    a = parser.parse_args()
    rows = {os.path.basename(os.path.dirname(p)): last(p) for p in sorted(glob.glob(a.home + '/*/log.jsonl'))}
    number = lambda row, key: f'{row[key]:.3f}' if isinstance(row.get(key), (int, float)) else ''
    table = [f"| {name} | {row['tokens']:,} | {100 * row['tokens'] / GOAL:.0f} % | {number(row, 'validation')} | {number(row, 'bitsPerByte')} |" for name, row in rows.items() if row and name != 'prose']
    finished = sum(1 for name, row in rows.items() if row and name != 'prose' and row['tokens'] >= GOAL)
    text = f"""# The zoo

Small models of one recipe (`scripts/zoo`), each made with the mechanism of one paper. This page is written by `scripts/zoo/doc.py` from the logs of the training.

{finished} of the models below have used up their {GOAL:,} tokens. Models that have seen different numbers of tokens cannot be compared, and nothing is concluded here from those that are unfinished.

| model | tokens seen | of the recipe | nats per token, held out | bits per byte |
| ----- | ----------- | ------------- | ------------------------ | ------------- |
""" + '\n'.join(table) + '\n'
    with open(a.out, 'w') as f: f.write(text)
    print(a.out, len(table), 'models')


if __name__ == '__main__': main()
