import type { OtherAnalysis } from '../../shared/protocol/host';
import { isSameText, type Analysis } from './analysis';

/**
 * What an analysis has replaced, one for each document: of the text before an edit, or of another model. It can be held
 * against what came after it; of one that says the same nothing is kept.
 */
export class EarlierAnalyses {
  private readonly byDocument = new Map<string, Analysis>();

  /** Keeps it, if it differs from what took its place. Gives the one that is no longer kept, or null. */
  replaced(earlier: Analysis, now: Analysis): Analysis | null {
    const differs = earlier.ready && now.ready && !isSameText(earlier.ready.summary, now.ready.summary);
    if (!differs) return earlier;
    const before = this.of(earlier.uri);
    this.byDocument.set(earlier.uri, earlier);
    return before;
  }

  of(uri: string): Analysis | null {
    return this.byDocument.get(uri) ?? null;
  }

  find(id: string): Analysis | undefined {
    return [...this.byDocument.values()].find(analysis => analysis.id === id);
  }

  /** Keeps none of a document. Gives the one that was kept, or null. */
  drop(uri: string): Analysis | null {
    const dropped = this.of(uri);
    this.byDocument.delete(uri);
    return dropped;
  }
}

/** As the views offer it to be held against the shown one; null while it is not finished. */
export function otherAnalysis(analysis: Analysis, earlier: boolean): OtherAnalysis | null {
  const { ready, id, documentInfo } = analysis;
  if (!ready) return null;
  const { model, tokens } = ready.summary;
  return { id, name: documentInfo.name, model: model.name, tokens: tokens.ids.length, earlier };
}
