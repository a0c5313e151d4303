/** What a note on a result is about. */
export type NoteKind =
  /** The mechanism looks at more than a causal query may see: at the whole text. */
  | 'looksAhead'
  /** The setting leaves the mechanism nothing of its own: it is another one's. */
  | 'sameAs'
  /** What is spent stays well below the budget: no setting comes nearer. */
  | 'budget'
  /** How well a compressed memory stands in for its tokens. */
  | 'reconstruction'
  /** Two measures of the same head contradict each other: one of them is wrong. */
  | 'contradiction'
  /** There is no loss: changes are of the output. */
  | 'output'
  /** A simpler choice lost less than the plan. */
  | 'defeat'
  /** A search was cut short. */
  | 'time'
  /** The plan was changed by hand since it was found. */
  | 'byHand';

/** A sentence that the user must see. Code asks for the kind and never reads the sentence. */
export interface Note {
  kind: NoteKind;
  text: string;
}

export const textOf = ({ text }: Note): string => text;
