/** `analysis/patchResidual`: what the layers hand on of single tokens, from one text put into the run of another of equal length. */
import type { Analysis } from './analysis';
import { attendDense } from './changedRun';
import { lastOf, PatchAnswers, refuseTexts, refuseToken } from './patchAnswers';
import { refused } from '../errors';
import type { TokenState } from '../model/cut/tokenState';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { PatchedState, PatchResidualParams, ResidualPatching } from '../../shared/protocol/engine';

/** Tokens that are put in unless some are named: each takes a run behind every layer. */
const MOST_TOKENS = 64;

type Given = Omit<PatchResidualParams, 'id' | 'from'>;

/** The text runs once; before each core, that run goes on once for each of the tokens. */
export async function patchResidual(
  analysis: Analysis,
  other: Analysis,
  { tokens: named, ...given }: Given,
  tokenizer: Tokenizer,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<ResidualPatching> {
  const at = given.at ?? lastOf(analysis);
  refuseTexts(analysis, other, at);
  for (const token of named ?? []) refuseToken(analysis, token);
  const tokens = named ?? tokensBetween(analysis, other, at);
  const dense = attendDense(analysis, signal);
  const states: TokenState[][] = [];
  const otherOutput = await other.run(attendDense(other, signal), {
    signal,
    onBefore: ({ core }, before) => {
      states[core] = tokens.map(token => before.stateOf(token));
      return Promise.resolve();
    },
  });
  const ownOutput = await analysis.run(dense, { signal });
  const answers = await PatchAnswers.of(analysis, ownOutput, otherOutput, given, tokenizer, signal);
  const cells: PatchedState[] = [];
  const all = tokens.length * analysis.cores.length;
  await analysis.run(dense, {
    signal,
    onBefore: async ({ core }, before) => {
      const { layer } = analysis.core(core).result.info;
      for (const [place, token] of tokens.entries()) {
        onProgress(cells.length / all);
        const output = await before.goOn(token, states[core]![place]!, dense);
        cells.push({ core, layer, token, ...(await answers.judge(output)) });
      }
    },
  });
  return { ...answers.texts, tokens, cells };
}

/** From the first token that differs to the one that is looked at: no other can make a difference there. */
function tokensBetween(analysis: Analysis, other: Analysis, at: number): number[] {
  const { ids } = analysis.tokens;
  const first = ids.findIndex((id, token) => id !== other.tokens.ids[token]);
  if (first < 0 || first > at) throw refused('patchSame', at);
  const all = Array.from({ length: at - first + 1 }, (_, token) => first + token);
  if (all.length <= MOST_TOKENS) return all;
  const differing = all.filter(token => token === at || ids[token] !== other.tokens.ids[token]);
  if (differing.length <= MOST_TOKENS) return differing;
  throw refused('patchMany', differing.length, MOST_TOKENS);
}
