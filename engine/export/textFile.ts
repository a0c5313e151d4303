import type { HeadAssignment } from '../../shared/protocol/engine';

/** An exported file, and what its reader must know that the format cannot say. */
export interface TextFile {
  text: string;
  /** Sentences on what is approximate or left out. */
  notes: string[];
}

/** With what its reader makes of each head, which may be more or less than was planned. */
export interface WrittenFile extends TextFile {
  written: HeadAssignment[];
}
