/** What an analysis of the synthetic engine is held against: the same text after an edit. */
import type { AnalysisSummary } from '../../shared/protocol/engine';
import { SyntheticEngine, splitTokens, summaryOf } from './syntheticEngine';

/** Losses that differ from token to token, by so much more than those without a shift. */
export function withLoss(summary: AnalysisSummary, shift = 0): AnalysisSummary {
  const losses = summary.tokens.text.slice(1).map((text, t) => 2 + (text.length % 5) / 4 + shift * (t % 3));
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  return { ...summary, loss: { mean, perToken: Float32Array.from(losses) } };
}

/** A word more at the beginning and another further on; a loss that has grown. */
export function editedAnalysis(text: string, size: { layers: number; heads: number; tokens: number }) {
  const vocabulary = new Map<string, number>();
  splitTokens(text, size.tokens, vocabulary);
  const edited = text.replace('THE LIGHT', 'THE OLD LIGHT').replace(' the island', ' the rainy island');
  const tokens = splitTokens(edited, size.tokens, vocabulary);
  const engine = new SyntheticEngine({ ...size, tokens });
  const summary = { ...withLoss({ ...summaryOf(engine, edited, size.tokens), tokens }, 0.25), id: 'other' };
  const told = {
    id: summary.id,
    name: 'sample.txt',
    model: summary.model.name,
    tokens: tokens.ids.length,
    earlier: true,
  };
  return { told, summary, engine };
}
