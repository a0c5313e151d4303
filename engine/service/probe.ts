/** The canonical probe: what the heads of a model do on random words that are said over and over. */
import { Analysis } from './analysis';
import { ablateHeads } from './ablation';
import { densePass } from './densePass';
import type { LoadedModel } from './modelCache';
import { provenance } from './provenance';
import type { Progress } from './startAnalysis';
import { workingBytes } from './workload';
import { seededUniform } from '../../shared/random';
import { RefusedError, told } from '../errors';
import type { Tokenizer } from '../model/tokens/tokenizer';
import { refuseUnlessFits } from '../runtime/memory';
import type { SharedCache } from '../runtime/sharedCache';
import type { HeadProbe, InductionCircuit, ProbedHead, TokenTable } from '../../shared/protocol/engine';
import { differenceOf } from '../../shared/uncertainty';
import { mean } from '../statistics';

/** Words that are said, and how often: only the past of the text itself tells what comes (Olsson et al., 2022). */
const WORDS = 128;
const REPEATS = 4;
/** With fewer different words a model could do without looking. */
const FEWEST_WORDS = 8;
/** Tokens that are drawn to find one that is a word. */
const DRAWS = 16;

export interface ProbeStart {
  loaded: LoadedModel;
  seed: number;
  resample?: boolean;
  memoryLimitMiB: number;
  retainBytes: number;
  cache: SharedCache<object>;
  signal: AbortSignal;
  onProgress: Progress;
}

export const PROBE_ID = 'probe';

/** @throws RefusedError where the model cannot read so long a text. */
export async function probeHeads(start: ProbeStart): Promise<HeadProbe> {
  const { loaded, seed, resample, signal, onProgress, retainBytes } = start;
  const { model, runtime } = loaded;
  const { tokens, words, from } = await probeText(loaded, seed);
  const length = tokens.ids.length;
  refuseUnlessFits(workingBytes(model, length), start.memoryLimitMiB, `A probe of ${length} tokens`);
  await model.checkRules(tokens.ids, { signal });
  const analysis = new Analysis(PROBE_ID, model, runtime, tokens, null, start.cache);
  analysis.mask = loaded.tokenizer.mask;
  try {
    await densePass(analysis, {
      signal,
      mechanisms: [],
      retainBytes,
      onProgress: (fraction, message) => onProgress(fraction / 10, message),
      onCore: () => undefined,
    });
    const last = from + REPEATS * words;
    // The loss at t is that of token t + 1; an output turns at its own token.
    const ahead = analysis.loss ? 1 : 0;
    const said = (t: number) => t + ahead >= from + words && t + ahead < last;
    const effects = new Map<string, Float32Array>();
    const { measure, heads } = await ablateHeads(analysis, signal, {
      counts: said,
      resample,
      onEffect: (core, head, perToken) => effects.set(`${core}.${head}`, perToken),
      onProgress: fraction => onProgress(0.1 + 0.9 * fraction, 'The probe without each head'),
    });
    const { loss } = analysis;
    const meanLoss = (first: number, to: number) => mean(loss!.subarray(Math.max(0, first - 1), to - 1));
    const probed = heads
      .map(({ core, head, ...ablation }) => {
        const { info, heads: profiles } = analysis.core(core).result;
        const { roles } = profiles[head]!;
        return { core, layer: info.layer, head, roles, ablation };
      })
      .sort((a, b) => b.ablation.zero.delta - a.ablation.zero.delta);
    return {
      model: model.info,
      probe: { tokens: length, repeats: REPEATS, seed },
      measure,
      provenance: provenance(model.info, runtime.report, [], { probe: seed }),
      loss: loss && { first: meanLoss(from, from + words), repeated: meanLoss(from + words, last) },
      heads: probed,
      circuit: circuitOf(probed, ({ core, head }) => effects.get(`${core}.${head}`)!),
      ids: [...tokens.ids],
    };
  } finally {
    analysis.forget();
  }
}

/** @param heads the one that costs most first */
function circuitOf(
  heads: readonly ProbedHead[],
  effectOf: (head: ProbedHead) => Float32Array,
): InductionCircuit | null {
  const inPart = (part: 'previous' | 'induction') => heads.filter(({ roles }) => roles[0]?.role === part);
  const layers = (part: 'previous' | 'induction') => inPart(part).map(({ layer }) => layer);
  const [first, last] = [Math.min(...layers('previous')), Math.max(...layers('induction'))];
  const members = heads.flatMap((head): InductionCircuit['heads'] => {
    const role = head.roles[0]?.role;
    if (role === 'previous' && head.layer < last) return [{ ...head, part: role }];
    return role === 'induction' && head.layer > first ? [{ ...head, part: role }] : [];
  });
  const [most, next] = members;
  if (!most || !next) return null;
  const changes = (head: ProbedHead) => ({ perToken: effectOf(head) });
  return { heads: members, lead: differenceOf(changes(most), changes(next)) };
}

/** The words between the special tokens that the tokenizer puts around every text; the first stands at `from`. */
async function probeText(
  { model, tokenizer }: LoadedModel,
  seed: number,
): Promise<{ tokens: TokenTable; words: number; from: number }> {
  const around = await tokenizer.encode('a', null);
  const inner = around.special.indexOf(0);
  const before = around.ids.subarray(0, Math.max(0, inner));
  const after = around.ids.subarray(around.special.lastIndexOf(0) + 1);
  const room = (model.info.context ?? Infinity) - before.length - after.length;
  const words = Math.min(WORDS, Math.floor(room / REPEATS));
  if (words < FEWEST_WORDS) {
    const least = FEWEST_WORDS * REPEATS + before.length + after.length;
    throw new RefusedError(
      told`The probe needs ${least} tokens; the model takes at most ${model.info.context}.`,
    );
  }
  const vocabulary = Math.min(tokenizer.vocabulary, model.info.vocabulary ?? Infinity);
  const block = await randomWords(tokenizer, vocabulary, words, seed);
  const ids = Int32Array.from([...before, ...Array.from({ length: REPEATS }, () => block).flat(), ...after]);
  return { tokens: (await tokenizer.describe(ids)).tokens, words, from: before.length };
}

/** Different tokens of letters, or of anything in vocabularies that have too few of these. */
async function randomWords(
  tokenizer: Tokenizer,
  vocabulary: number,
  count: number,
  seed: number,
): Promise<number[]> {
  const uniform = seededUniform(seed);
  const drawn = new Set<number>();
  for (let i = 0; i < DRAWS * count; i++) drawn.add(Math.floor(uniform() * vocabulary));
  const ids = [...drawn].filter(id => !tokenizer.isSpecial(id));
  const { tokens } = await tokenizer.describe(Int32Array.from(ids));
  const isWord = (at: number) => /^\s\p{L}{2,}$/u.test(tokens.text[at] ?? '');
  const found = ids.filter((_, at) => isWord(at));
  const chosen = (found.length >= count ? found : ids).slice(0, count);
  if (chosen.length === count) return chosen;
  throw new RefusedError(told`The probe needs ${count} different tokens; the vocabulary has too few.`);
}
