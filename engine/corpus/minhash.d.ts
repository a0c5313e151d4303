/** What is used of `minhash`, which has no types of its own. */
declare module 'minhash' {
  export class Minhash {
    constructor(options: { numPerm: number });
    update(shingle: string): void;
    /** The estimate of the Jaccard similarity of two sets. */
    jaccard(other: Minhash): number;
  }

  export class LshIndex {
    constructor(options: { bandSize: number });
    insert(key: string, hash: Minhash): void;
    /** Keys of what shares a band with it, which must have been inserted, itself among them. */
    query(hash: Minhash): string[];
  }
}
