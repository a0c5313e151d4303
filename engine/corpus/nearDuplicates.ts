/** Texts that nearly repeat an earlier one, found without comparing every two: MinHash with banding (Broder, On the resemblance and containment of documents, 1997). */
import { LshIndex, Minhash } from 'minhash';

/** Texts count as the same from this Jaccard similarity of their shingles on, as it is estimated from so many hashes. */
export const SAME = 0.8;
const HASHES = 128;
/** Hashes that must all agree before two texts are compared: at 0.8 similarity one of the 32 bands does so in all but 1 of 10^7 cases. */
const BAND = 4;
/** Words of a shingle. */
const SHINGLE = 5;
/** Characters of a text that are looked at. */
const READ = 40_000;

export interface NearDuplicate {
  /** The earlier text. */
  of: string;
  similarity: number;
}

export class NearDuplicates {
  private readonly index = new LshIndex({ bandSize: BAND });
  private readonly known: { name: string; hash: Minhash }[] = [];

  /** Takes the text in, unless it nearly repeats one that was taken before: then that one. */
  add(name: string, text: string): NearDuplicate | null {
    const hash = new Minhash({ numPerm: HASHES });
    for (const shingle of shinglesOf(text)) hash.update(shingle);
    const key = String(this.known.length);
    this.index.insert(key, hash);
    let nearest: NearDuplicate | null = null;
    for (const other of this.index.query(hash)) {
      const earlier = this.known[Number(other)];
      // Itself, or another that was not taken.
      if (other === key || !earlier) continue;
      const similarity = hash.jaccard(earlier.hash);
      if (similarity >= SAME && similarity > (nearest?.similarity ?? 0))
        nearest = { of: earlier.name, similarity };
    }
    if (!nearest) this.known.push({ name, hash });
    return nearest;
  }
}

/** Runs of words, each once; the words of a text too short for one. */
function shinglesOf(text: string): Set<string> {
  const words = text
    .slice(0, READ)
    .toLowerCase()
    .split(/\s+/)
    .filter(word => word !== '');
  if (words.length <= SHINGLE) return new Set([words.join(' ')]);
  return new Set(
    Array.from({ length: words.length - SHINGLE + 1 }, (_, at) => words.slice(at, at + SHINGLE).join(' ')),
  );
}
