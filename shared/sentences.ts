import { REFUSALS } from './refusals';
import { english, type Translate } from './translate';

/**
 * Sentences and clauses of the engine that views show. The engine speaks English, in every protocol and file: it fills in
 * these forms, and by the same forms a view finds out what was said, to say it in the user's language. Holes count up.
 */
export const SENTENCES = {
  firstTokens: 'Only the first {0} tokens of the {1} were analyzed ({2}); it has {3}.',
  text: 'text',
  targetText: 'target text',
  context: "the model's context",
  limit: 'the limit',
  about: 'about {0}',
  targetWritten: 'The target text was written greedily by the model itself.',
  textStandsIn:
    'The text itself stands in for the target text: the model has one input for both, or none was given and the tokenizer marks no start and end token.',
  targetNotRead: 'The given target text is not read: the model has no input of its own for one.',
  leftOut: '{0} is left out: {1}',
  notUsed: '{0} is not used: {1}.',
  usedThough: '{0} is used as asked, though {1}.',
  crashed: 'its driver crashed here; "Attention: Restart Engine" tries it again',
  slower: 'it is slower here than the CPU ({0} against {1} for a block of attention; {2})',
  software: 'no GPU was found, the adapter is software',
  noProvider: 'This build of ONNX Runtime has no GPU provider for this platform.',
  turnOfOutput: 'The model predicts no tokens: instead of the loss, the turn of its output is measured.',
  sameAs: '{0} chooses nothing here: all its pairs are known beforehand. It is {1}.',
  choosesFromWhole: '{0} chooses its pairs by looking at the whole text.',
  looksAtWhole: '{0} looks at the whole text, later tokens included.',
  chosenFromWhole: 'Chosen by looking at the whole text: the pairs of {0}.',
  lostLess: 'The plan does not win: {0} in every head lost less on this text at the same budget.{1}',
  movedFurther:
    " Its predictions moved further from the dense model's, though ({0} nats, the plan's {1}): on other texts the plan may well lose less.",
  randomLostLess: 'The plan does not win: {0} of {1} random assignments lost less on this text.',
  undecided:
    'Undecided whether the plan wins: on this text it differs from its baselines ({0}) by no more than chance may (95 % intervals of the differences hold 0).',
  timeWasOut:
    'The model was run {0} times and not {1}: more would have taken longer than {2}. With more time, or on a faster machine, the plan may be better.',
  inEveryHead: '{0} in every head',
  randomAssignments: 'random assignments',
  spends: 'Spends {0} of the {1} (budget {2}).',
  readingModel: 'Reading the model',
  lookingForAttention: 'Looking for attention',
  provingCores: 'Proving the {0} attention cores',
  provingModel: 'Proving the cut model against the uncut one',
  asking: 'Asking {0} for {1}',
  downloading: 'Downloading {0}: {1} of {2} MB',
  targetToken: 'The model writes its target text, token {0}',
  layerHeads: 'Layer {0}, {1} heads',
  lossOfTokens: 'Loss of every token',
  runsOnWith: 'The text runs on with {0}',
  runsOn: 'The text runs on: {0}',
  noDensePass:
    'There was no dense pass: {0} ran in every core. It is a what-if: queries, keys and the loss are those of the model with it.',
  noDensePassInPart:
    'There was no dense pass: {0} ran in every core. In some of them it is what the model was made with, in the others a what-if: queries, keys and the loss are those of the model with it.',
  noDensePassNative:
    'There was no dense pass: {0} ran in every core. It is native: queries, keys and the loss are the model’s own.',
  oneForEachHead: 'A mechanism for each head',
  seenPairs:
    'It looked at {0} of the pairs and left out {1} of the mass on average (95 % interval {2} to {3}).',
  seenOfOwn: 'It looked at {0} of the pairs.',
  seenOfNative:
    'It looked at {0} of the pairs. What it left out of the mass is not told: what the model was made with is no softmax of the scores that it goes by.',
  noSetOfPairs: 'What runs there keeps no set of pairs, so no mass can be said to be left out.',
  fromSample:
    'The figures of heads come from the exact rows of {0} of {1} queries, drawn at random; where the others look was not seen, except for what was found by the search.',
  fromAllRows: 'The text is so short that the figures of heads come from the exact rows of all queries.',
  farKey:
    'The search found: head {0}.{1} looks from token {2} ({3}) to token {4} ({5}) with {6} of its mass.',
  everyHead: 'Every head under every mechanism',
  byHand: 'Changed by hand since it was found.',
  albertBest: 'Best possible at each rank: the singular values of the table that the model has.',
  albertBlocks:
    'Everything but the tables and an output matrix of its own counts as blocks, final norms included.',
  albertShared: "This model's layers are one block already.",
  albertFactorised: "This model's table is factorised already ({0} of {1}).",
  noCurve: 'The table cannot be read from this export, so there is no curve.',
  curveOfRows: 'The curve is of {0} of the {1} rows, evenly spaced.',
  retroApproximate:
    'Approximate: chunks are compared by their mean token embeddings, rare tokens weighing more.',
  noNeighbours: 'The embedding table cannot be read from this export, so no neighbours are looked for.',
  simplifiedLens:
    'A lens: value and output projections cannot be taken out of a trained model, which would be destroyed by it.',
  notEveryLayer:
    'Not every layer of this export passes its residual stream across the cut by itself; the others are left out.',
} as const;

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Those with more words of their own first: they say more surely what was said. */
const FORMS = [...Object.values(SENTENCES), ...Object.values(REFUSALS)]
  .map(form => ({ form, own: form.split(/\{\d+\}/) }))
  .sort((a, b) => b.own.join('').length - a.own.join('').length)
  .map(({ form, own }) => ({ form, pattern: new RegExp(`^${own.map(literal).join('(.*?)')}$`, 's') }));

/** What the engine said in the user's language, its values too where they are words; anything else as it is. */
export function inLanguage(said: string, t: Translate): string {
  for (const { form, pattern } of FORMS) {
    const found = pattern.exec(said);
    if (found) return t(form, ...found.slice(1).map(value => value && inLanguage(value, t)));
  }
  return KNOWN.test(said) ? t(said) : said;
}

/** A title or a unit may be a message of its own; numbers and names are none. */
const KNOWN = /^\p{L}[^{}]*$/u;

/** A sentence as the engine says it. */
export const say = (form: keyof typeof SENTENCES, ...values: (string | number)[]): string =>
  english(SENTENCES[form], ...values);
