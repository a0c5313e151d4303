/**
 * The binary partition tree over n tokens (Ye et al. 2019, section 3.1): level 0 are the tokens, a node of level l
 * spans 2^l of them (fewer at the end of the text). Nodes are numbered level by level, so tokens come first.
 */
export interface Tree {
  tokens: number;
  /** First node of each level, then the number of nodes. */
  levels: number[];
  /** First token and number of tokens of each node. */
  start: Int32Array;
  length: Int32Array;
  /** Of a node above level 0; the second is missing at an odd end. */
  children(node: number): [number, number | null];
}

export function buildTree(tokens: number): Tree {
  const levels = [0];
  const start: number[] = [];
  const length: number[] = [];
  for (let size = 1; ; size *= 2) {
    for (let first = 0; first < tokens; first += size) {
      start.push(first);
      length.push(Math.min(size, tokens - first));
    }
    levels.push(start.length);
    if (size >= tokens) break;
  }
  return {
    tokens,
    levels,
    start: Int32Array.from(start),
    length: Int32Array.from(length),
    children(node) {
      const level = levels.findIndex(first => first > node) - 1;
      const below = levels[level - 1]! + 2 * (node - levels[level]!);
      return [below, below + 1 < levels[level]! ? below + 1 : null];
    },
  };
}

/** Nodes from .. to-1, neighbours on one level. */
export interface Run {
  from: number;
  to: number;
}

/**
 * What the token at `position` reads: itself, and outwards on each side k tokens, then k nodes of each higher level.
 * Where the next node of a level would reach back over what is covered already, its outer child is read in its place
 * (it counts as one of the k). Every token within reach is covered exactly once; causal: only the left side.
 */
export function readNodes(tree: Tree, position: number, k: number, causal: boolean): Run[] {
  const { tokens, levels } = tree;
  const runs: Run[] = [{ from: position, to: position + 1 }];
  let left = position; // tokens left .. position are covered
  let right = position + 1;
  for (let level = 0; level + 1 < levels.length; level++) {
    const size = 2 ** level;
    const first = levels[level]!;
    let reads = k;
    if (left % size !== 0) {
      // The outer child of the node that would overlap.
      const child = levels[level - 1]! + left / (size / 2) - 1;
      runs.push({ from: child, to: child + 1 });
      left -= size / 2;
      reads--;
    }
    const count = Math.min(reads, left / size);
    if (count > 0) runs.push({ from: first + left / size - count, to: first + left / size });
    left -= count * size;
    if (causal) continue;
    reads = k;
    if (right < tokens && right % size !== 0) {
      const child = levels[level - 1]! + right / (size / 2);
      runs.push({ from: child, to: child + 1 });
      right += size / 2;
      reads--;
    }
    if (right >= tokens) continue;
    const more = Math.min(reads, Math.ceil((tokens - right) / size));
    if (more > 0) runs.push({ from: first + right / size, to: first + right / size + more });
    right += more * size;
  }
  return runs;
}
