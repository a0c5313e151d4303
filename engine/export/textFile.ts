/** An exported file, and what its reader must know that the format cannot say. */
export interface TextFile {
  text: string;
  /** Sentences on what is approximate or left out. */
  notes: string[];
}
