/**
 * Makes docs/zoo.md: the models of the papers (scripts/zoo) measured by the product itself on books that none of them saw.
 * `npm run zoo-doc`; `-- --texts 4` for a quicker look, `-- --home FOLDER` for logs of the training that lie elsewhere.
 * Needs the held-out books (../shared/corpus) and the recipe's data (HOME/data).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Engine } from '../engine/engine';
import { ZOO } from '../engine/model/source/zoo';
import { mechanismInfos } from '../engine/attention/registry';
import { denseIsWhatIf, ownSetting } from '../shared/native';
import { DENSE, settingOf } from '../shared/setting';
import { meanInterval } from '../shared/uncertainty';
import type { AnalysisSummary, CoreInfo, Setting } from '../shared/protocol/engine';
import { ROOT } from './lib/project.mjs';
import { table } from './lib/results';

const { values: options } = parseArgs({
  options: {
    texts: { type: 'string', default: '10' },
    home: { type: 'string', default: join(homedir(), '.cache/attention-inspector-zoo') },
  },
});
const ENCODER = 'zoo/encoder';
/** Dense models of another order or choice of the training text. */
const OTHER_DATA = 'zoo/dense-';
const BOOKS = join(ROOT, '../shared/corpus/validation.txt.xz');
const TOKENS = 512;
const TEXTS = Number(options.texts);
/** Tokens before the same targets, and the targets. */
const CONTEXTS = [32, 96, 224, 447];
const TARGETS = 64;
/** Times that a token stands in ten million tokens of the training text. */
const BINS = [
  { below: 100, title: 'below 100' },
  { below: 1000, title: '100 to 999' },
  { below: 10_000, title: '1,000 to 9,999' },
  { below: Infinity, title: '10,000 and more' },
];

/** Of each model, by its folder: the view, what it shows there, and the picture in words. */
const PICTURES: Record<string, [view: string, shows: string, alt: string]> = {
  dense: [
    'Spans',
    'the distances at which every head has its mass (Transformer-XL’s and adaptive span’s picture).',
    'All heads of the dense model by relative distance',
  ],
  'adaptive-span': [
    'Spans',
    'the span that each head learned (square) beside the span that a fit would give it, by layer, and below the mass by distance, which ends where the learned span does.',
    'Learned and fitted spans of all heads by layer, and their mass by relative distance',
  ],
  'transformer-xl': [
    'Lenses, Content and position',
    'the four terms of its scores, query and key, query and distance, u and key, v and distance.',
    'Shares of the four terms of the scores for each head',
  ],
  compressive: [
    'Lenses, Memory',
    'the mass on the segment, the memory and the compressed memory, and what compressing loses.',
    'Mass by compartment and reconstruction error for each head',
  ],
  strided: [
    'Head',
    'the nearest 32 keys and every 32nd before them.',
    'The attention map of a head of the strided model: a band and diagonals',
  ],
  routing: [
    'Buckets',
    'the tokens of each learned centroid, and the map sorted by them.',
    'The clusters of a head of the routing model, in the text and as blocks of its map',
  ],
  lsh: [
    'Buckets',
    'the tokens of each bucket of its hashes, and the map sorted by them.',
    'The buckets of a head of the Reformer, in the text and as blocks of its map',
  ],
  entmax: ['Head', 'a map with exact zeros.', 'The attention map of a head under entmax'],
  shaped: [
    'Head',
    'the softmax in its shaped attention.',
    'The attention map of a head of the simplified block',
  ],
  switch: [
    'Lenses, Switch',
    'the load of the experts of its own router, and the text by expert.',
    'Tokens for each of four experts, and the text coloured by expert',
  ],
  albert: [
    'Lenses, ALBERT',
    'the parameters that its factorised table and shared block leave, and its layers, which are one.',
    'Parameters with and without factorising and sharing, and how alike the layers are',
  ],
  encoder: ['Head', 'a map on both sides of the diagonal.', 'The attention map of a head of the encoder'],
};
/** On what the learned spans say. */
const OF_SPANS = `
A span of 0 is not a head that sees itself alone: the ramp of 32 tokens goes on from there. The paper's picture, short spans in the first layers and some long ones in the last, is not this one. All
spans began at 26 tokens; by 430,000 tokens the penalty (1e-5 nats a token of mean span a layer) had driven those of layers 1 to 3 to between 0 and 5, before the model had learned anything that a longer one would have
served, and only those of layer 0 grew. From 1.5 million tokens on some come back (the last head of layer 3, from 0 to 48). So this is a training that has just begun, not what these layers need. That
so little costs the model nothing (above) is what the table by context says too: none of these models makes use of what is far.
`;
const OF_RETRIEVAL =
  ' The recipe trains RETRO, but the attention of a chunk to the neighbours of the one before is none of the mechanisms here: its export is refused by name.';
/** What nobody can conclude while a model is not there. */
const SUBJECTS: Record<string, string> = {
  'adaptive-span': 'adaptive spans',
  lsh: 'hashing',
  'transformer-xl': 'memories',
  compressive: 'compressed memories',
  entmax: 'entmax',
  shaped: 'shaped blocks',
  switch: 'experts',
  albert: 'shared layers',
  retro: 'retrieval',
  encoder: 'encoders',
};

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const signed = (value: number, digits = 3) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

// ---------------------------------------------------------------- texts

/** Evenly from the held-out books, from the beginning of a line on. */
function excerpts(): string[] {
  const books = execFileSync('xz', ['-dc', BOOKS], { maxBuffer: 2 ** 28 })
    .toString('utf8')
    .slice(0, 600_000);
  return Array.from({ length: TEXTS }, (_, i) => {
    const at = books.indexOf('\n\n', Math.floor(((i + 0.3) * books.length) / TEXTS)) + 2;
    return books.slice(at, at + 6 * TOKENS);
  });
}

/** The setting on a model that was trained dense: what ties queries and keys has the model's own keys there, and no compression is learned. */
function onDense({ name, params }: Setting): Setting {
  const info = mechanismInfos.find(one => one.name === name)!;
  const untied = 'sharedQK' in params ? { ...params, sharedQK: false } : params;
  return settingOf(info, untied.pool === 'conv' ? { ...untied, pool: 'mean' } : untied);
}

/** How often each token stands in the first ten million of the training text (an array of NumPy, uint16). */
function frequencies(): Uint32Array {
  const file = readFileSync(join(options.home, 'data/books.npy'));
  const begin = 10 + file.readUInt16LE(8);
  const counts = new Uint32Array(65_536);
  const end = Math.min(file.length, begin + 2 * 10_000_000);
  for (let at = begin; at < end; at += 2) counts[file.readUInt16LE(at)]!++;
  return counts;
}

// ---------------------------------------------------------------- measuring

const madeWith = (core: CoreInfo): Setting | null => {
  const own = ownSetting(core, mechanismInfos);
  return own?.key === DENSE.key ? null : own;
};

interface Measured {
  name: string;
  title: string;
  parameters: number;
  tokens: number;
  /** Of a model that was made with another mechanism than dense attention; null where heads differ in it, too. */
  own: Setting | null;
  native: boolean;
  runs: AnalysisSummary[];
  /** By tokens of context. */
  context: number[];
}

const engine = new Engine();
let runs = 0;

const analyze = (model: string, text: string, settings: readonly Setting[], maxTokens = TOKENS) =>
  engine.request('analysis/start', {
    id: `zoo${runs++}`,
    model,
    text,
    device: 'cpu',
    maxTokens,
    mechanisms: settings.map(({ name, params }) => ({ name, params })),
    propagate: settings.length > 0,
    target: null,
  });

async function measure(
  name: string,
  texts: readonly string[],
  settings: readonly Setting[],
): Promise<Measured> {
  const folder = join(ROOT, 'engine/bundled', name);
  const { log } = JSON.parse(readFileSync(join(folder, 'training.json'), 'utf8')) as {
    log: { tokens: number }[];
  };
  const { title } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as { title: string };
  const found: AnalysisSummary[] = [];
  const context = CONTEXTS.map(() => [] as number[]);
  for (const text of texts) {
    const summary = await analyze(name, text, settings);
    if (!summary.verified.holds) throw new Error(`${name} is not verified on a text`);
    found.push(summary);
    const { start, end, ids } = summary.tokens;
    const last = ids.length - 1;
    for (const [c, length] of CONTEXTS.entries()) {
      const cut = text.slice(start[last - TARGETS - length + 1], end[last]);
      const { loss } = await analyze(name, cut, []);
      context[c]!.push(mean(Array.from(loss!.perToken.slice(-TARGETS))));
    }
    console.error(name, found.length, 'of', texts.length);
  }
  const { model } = found[0]!;
  return {
    ...{ name, title, parameters: model.parameters, tokens: log.at(-1)!.tokens, runs: found },
    own: madeWith(model.cores[0]!),
    native: denseIsWhatIf(model.cores),
    context: context.map(mean),
  };
}

// ---------------------------------------------------------------- tables

const losses = ({ runs }: Measured) => runs.map(({ loss }) => loss!.perToken);
const all = (texts: readonly ArrayLike<number>[]) => texts.flatMap(text => Array.from(text));
const nats = (model: Measured) => mean(all(losses(model)));

/** Bits for each byte of the text that the predicted tokens stand for. */
function bitsPerByte({ runs }: Measured, change: (run: AnalysisSummary) => number = () => 0): number {
  let [bits, bytes] = [0, 0];
  for (const run of runs) {
    const { start, end, special, ids } = run.tokens;
    const first = special.findIndex(one => one === 0);
    bytes += Buffer.byteLength(sources.get(run)!.slice(start[first], end[ids.length - 1]));
    const { perToken } = run.loss!;
    bits += ((mean(Array.from(perToken)) + change(run)) * perToken.length) / Math.LN2;
  }
  return bits / bytes;
}
const sources = new Map<AnalysisSummary, string>();

const withInterval = (texts: readonly ArrayLike<number>[]): string => {
  const interval = meanInterval(texts);
  const value = signed(mean(all(texts)));
  return interval ? `${value} (${signed(interval.low)} to ${signed(interval.high)})` : value;
};
const less = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]) =>
  a.map((text, t) => Float64Array.from(text, (value, i) => value - b[t]![i]!));

/** The change that a setting brings to each token, text by text. */
const changeOf = ({ runs }: Measured, { key }: Setting) =>
  runs.map(
    ({ mechanisms }) =>
      mechanisms.find(m => m.scope === 'propagated' && m.setting.key === key)!.deltaLossPerToken!,
  );
const shareOf = ({ runs }: Measured, { key }: Setting) => {
  const found = runs.flatMap(({ mechanisms }) => mechanisms.filter(m => m.setting.key === key));
  return found.reduce((sum, m) => sum + m.pairs, 0) / found.reduce((sum, m) => sum + m.densePairs, 0);
};

function nativeTable(models: readonly Measured[], dense: Measured): string {
  return table(
    ['model', 'parameters', 'tokens seen', 'nats per token', 'bits per byte', 'against dense, nats (95 %)'],
    models.map(model => [
      model.title,
      model.parameters.toLocaleString('en-US'),
      model.tokens.toLocaleString('en-US'),
      nats(model).toFixed(3),
      bitsPerByte(model).toFixed(3),
      model === dense ? '' : withInterval(less(losses(model), losses(dense))),
    ]),
  );
}

function whatIfTable(models: readonly Measured[], dense: Measured): string {
  return table(
    [
      'mechanism',
      'pairs, native / what-if',
      'native, bits per byte',
      'what-if on dense',
      'dense',
      'what-if against dense, nats (95 %)',
      'native against what-if, nats (95 %)',
      'native model made dense, nats (95 %)',
    ],
    models.flatMap(model => {
      const { own, native } = model;
      if (!native) return [];
      const madeDense = withInterval(changeOf(model, DENSE));
      if (!own)
        return [
          [
            model.title,
            '',
            bitsPerByte(model).toFixed(3),
            '',
            bitsPerByte(dense).toFixed(3),
            '',
            '',
            madeDense,
          ],
        ];
      const change = changeOf(dense, onDense(own));
      const at = (run: AnalysisSummary) => mean(Array.from(change[dense.runs.indexOf(run)]!));
      const whatIf = losses(dense).map((text, t) => Float64Array.from(text, (v, i) => v + change[t]![i]!));
      return [
        [
          model.title,
          `${percent(shareOf(model, own))} / ${percent(shareOf(dense, onDense(own)))}`,
          bitsPerByte(model).toFixed(3),
          bitsPerByte(dense, at).toFixed(3),
          bitsPerByte(dense).toFixed(3),
          withInterval(change),
          withInterval(less(losses(model), whatIf)),
          madeDense,
        ],
      ];
    }),
  );
}

function frequencyTable(models: readonly Measured[]): string {
  const counts = frequencies();
  const binOf = (id: number) => BINS.findIndex(({ below }) => counts[id]! < below);
  return table(
    ['nats per token, by times in ten million', ...BINS.map(({ title }) => title)],
    models.map(model => {
      const bins = BINS.map(() => [] as number[]);
      for (const { loss, tokens } of model.runs)
        loss!.perToken.forEach((value, t) => bins[binOf(tokens.ids[t + 1]!)]!.push(value));
      return [model.title, ...bins.map(values => (values.length ? mean(values).toFixed(2) : ''))];
    }),
  );
}

const contextTable = (models: readonly Measured[]): string =>
  table(
    [`nats of the same ${TARGETS} tokens, by tokens before them`, ...CONTEXTS.map(String)],
    models.map(({ title, context }) => [title, ...context.map(value => value.toFixed(3))]),
  );

function spanTable(models: readonly Measured[]): string {
  const layers = models[0]!.runs[0]!.cores.length;
  return table(
    ['tokens within which 95 % of the mass lies', ...Array.from({ length: layers }, (_, l) => `layer ${l}`)],
    models.map(({ title, runs }) => [
      title,
      ...Array.from({ length: layers }, (_, l) => {
        const spans = runs.flatMap(({ cores }) => cores[l]!.heads.map(head => head.span95));
        return `${mean(spans).toFixed(0)} (${Math.min(...spans).toFixed(0)} to ${Math.max(...spans).toFixed(0)})`;
      }),
    ]),
  );
}

/** What the heads of each layer learned as numbers, in order; empty where no model learned any. */
function learnedTable(models: readonly Measured[]): string {
  const rows = models.flatMap(({ title, runs }) => {
    const cores = runs[0]!.model.cores;
    const names = Object.entries(cores[0]!.attention?.params ?? {}).filter(([, value]) =>
      Array.isArray(value),
    );
    return names.map(([name]) => {
      const digits = name === 'span' ? 0 : 2;
      const values = cores.map(({ attention }) => attention!.params[name] as number[]);
      const sorted = values.map(layer =>
        [...layer].sort((a, b) => b - a).map(value => value.toFixed(digits)),
      );
      return [`${title}: ${name}`, ...sorted.map(layer => layer.join(', '))];
    });
  });
  if (rows.length === 0) return '';
  return table(['largest first', ...rows[0]!.slice(1).map((_, layer) => `layer ${layer}`)], rows);
}

function pictures(): string {
  const shown = ZOO.flatMap(({ name, title }) => {
    const folder = name.split('/')[1]!;
    const picture = PICTURES[folder];
    if (!picture || !existsSync(join(ROOT, `media/zoo/${folder}.png`))) return [];
    const [view, shows, alt] = picture;
    return [`${title}, ${view}: ${shows}\n\n![${alt}](../media/zoo/${folder}.png)`];
  });
  return shown.join('\n\n');
}

interface Logged {
  tokens: number;
  /** Mean of the last fifty steps; null before the first. */
  loss: number | null;
  validation: number;
}

/** Of the encoder, whose loss is another one: what it says of hidden tokens, from both sides. */
async function encoderWords(texts: readonly string[]): Promise<string> {
  const losses: Float32Array[] = [];
  let title = '';
  for (const text of texts) {
    const { loss, verified } = await analyze(ENCODER, text, []);
    if (!verified.holds || !loss!.masked) throw new Error(`${ENCODER} predicts no hidden tokens`);
    losses.push(loss!.perToken);
    ({ title } = ZOO.find(({ name }) => name === ENCODER)!);
  }
  const { low, high } = meanInterval(losses)!;
  return `## The encoder

${title}: ${mean(all(losses)).toFixed(3)} nats per hidden token (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}; ${all(losses).length.toLocaleString('en-US')} tokens of the same excerpts, every seventh hidden at once, so that each is
predicted once from both sides). In training it was asked for 15 % of the tokens that the others predict, and its loss is not theirs: it stands in no other table.
`;
}

/** How far the training of every model of the recipe is: by the logs that the models carry, else by those of the training. */
function trainingTable(): string {
  const logs = new Map<string, Logged>();
  for (const name of existsSync(options.home) ? readdirSync(options.home) : []) {
    const path = join(options.home, name, 'log.jsonl');
    if (/^prose/.test(name) || !existsSync(path)) continue;
    logs.set(name, JSON.parse(readFileSync(path, 'utf8').trim().split('\n').at(-1)!) as Logged);
  }
  for (const { name } of ZOO) {
    const path = join(ROOT, 'engine/bundled', name, 'training.json');
    const { log } = JSON.parse(readFileSync(path, 'utf8')) as { log: Logged[] };
    logs.set(name.split('/')[1]!, log.at(-1)!);
  }
  const rows = [...logs].sort().flatMap(([name, { tokens, loss, validation }]) => {
    if (loss === null) return [];
    return [[name, tokens.toLocaleString('en-US'), loss.toFixed(3), validation.toFixed(3)]];
  });
  return table(
    [
      'model',
      'tokens seen',
      'nats per token in training, last 50 steps',
      'nats per token, its own validation',
    ],
    rows,
  );
}

/** What another order or choice of the training text brings, at the same number of tokens. */
const dataWords = (models: readonly Measured[], dense: Measured): string => `
## The data level

The same dense model on as many tokens of the same books, chosen or put in order otherwise: without places of which more than a fifth stood earlier; windows of 128, then 256, then 512 tokens; texts of frequent tokens first (Platanios et al. 2019); of twice as many texts the half with the larger loss.
The plain order takes places at random.

${nativeTable([dense, ...models], dense)}

By tokens of context:

${contextTable([dense, ...models])}

Two million tokens are a fifth of each order's course, whose thirds (of the windows' lengths) and competence (of frequent tokens) are those of ten million: of *short windows first* only the first third was seen, windows of 128 tokens, and of *frequent tokens first* the easier half of the texts at most. So these rows say what the beginning of a curriculum costs or gains, not what its end does.
2.6 % of the tokens of these books begin a run of 16 that stood earlier, and 3.5 % of the places are left out: *without repeated text* changes little, and its difference is that of other places as much as of fewer repeats. Choosing by loss reads twice the text that it learns from: at the same price of computing it is behind by a third more passes.
`;

// ---------------------------------------------------------------- the page

async function main(): Promise<void> {
  const texts = excerpts();
  await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 8192 });
  const names = ZOO.map(({ name }) => name).filter(name => name !== ENCODER);
  const others = names.filter(name => name !== 'zoo/dense' && !name.startsWith(OTHER_DATA));
  const settings = new Map<string, Setting>();
  const natives = new Set<string>();
  for (const name of others) {
    const { model } = await analyze(name, texts[0]!.slice(0, 400), []);
    const own = madeWith(model.cores[0]!);
    if (own) settings.set(name, own);
    if (denseIsWhatIf(model.cores)) natives.add(name);
  }
  const dense = await measure('zoo/dense', texts, [...settings.values()].map(onDense));
  const models = [dense];
  for (const name of others) {
    const own = settings.get(name);
    models.push(await measure(name, texts, [...(own ? [own] : []), ...(natives.has(name) ? [DENSE] : [])]));
  }
  const otherData: Measured[] = [];
  for (const name of names.filter(one => one.startsWith(OTHER_DATA)))
    otherData.push(await measure(name, texts, []));
  for (const { runs } of [...models, ...otherData]) runs.forEach((run, t) => sources.set(run, texts[t]!));
  const predicted = all(losses(dense)).length;
  const learned = learnedTable(models);
  const ofSpans = models.some(({ name }) => name === 'zoo/adaptive-span') ? OF_SPANS : '';
  const missing = Object.entries(SUBJECTS).flatMap(([name, words]) =>
    ZOO.some(model => model.name === `zoo/${name}`) ? [] : [words],
  );
  const hasEncoder = ZOO.some(({ name }) => name === ENCODER);
  const ofEncoder = hasEncoder ? await encoderWords(texts) : '';
  const seen = [...new Set(models.map(({ tokens }) => tokens.toLocaleString('en-US')))].join(' and ');
  const text = `# The zoo

Small models of one recipe ([scripts/zoo](../scripts/zoo/README.md)), each made with the mechanism of one paper: the same text in the same order, the same layers and width, the same
number of tokens (ALBERT shares its block and has a third of the parameters; Switch has four experts in every second layer and uses one of them for a token). They open from the model list under _The papers_, as \`zoo/NAME\`: some come with the package, the others are fetched from the release when they are chosen (1 to 2.5 MB each), which has all of them as \`zoo.zip\`
too, for machines without a network. This page is made by \`npm run zoo-doc\`: every number below is the product's own, each analysis verified
against the uncut model.

**How far they are.** The models here have seen ${seen} tokens, a fifth of the recipe's ten million, and the learning rate, which falls over ten million, was still at nine tenths of its
largest: they are equally unfinished. What is compared is what each mechanism makes of so little, not what the papers compare. One seed each: a difference between two
models holds for these two trainings, and the intervals say only how far the text decides it.

Measured on ${texts.length} excerpts of ${TOKENS} tokens (${predicted.toLocaleString('en-US')} predicted tokens) of books kept from training. Intervals: 95 %, bootstrap over texts and blocks of neighbouring
tokens, paired.

## Native

${nativeTable(models, dense)}

A difference whose interval holds 0 is undecided.

## Native against what-if

The same setting on the model that was trained dense (_what-if_, the model run on with it), on the model that was made with it (_native_), and dense attention put into the latter. The pairs are
those that the setting spends, so that native and what-if are compared at the same price.

${whatIfTable(models, dense)}

Routing and the Reformer tie keys to queries in the model that was made with them; on the dense one they have that model's own keys, and routing has centroids by k-means. Made dense, both keep their tied scores, and only see more keys. Routing takes its members from the whole window, later tokens included, as the paper does: its loss, native or what-if, is not strictly that of a causal model.
The Reformer's own buckets are less even than those of its hashes on the dense model and take half as many pairs more; so its gain over the what-if is not all at the same price.
Adaptive span is not compared at the same price: on the dense model its spans are fitted to 95 % of each head's mass, which takes far more pairs than the spans that were learned. The simplified block's settings and entmax's alpha differ by head, so that there is none to be tried on another model; made dense both have the softmax alone. Transformer-XL's
segments and memory hold all of 512 tokens, and so do those of the Compressive Transformer (whose slots hold what is farther; without its learned convolution they would be means): as a what-if both are dense attention, and what the native models gain is their scores'.

## Pictures

Of each model what its paper shows, on the sample text, as the views draw it (\`npm run zoo-pictures\`).

${pictures()}

## By frequency of the token

${frequencyTable(models)}

## By context

${contextTable(models)}

With ${(texts.length * TARGETS).toLocaleString('en-US')} targets, differences of a few hundredths of a nat say nothing. None of these models makes use of far context yet: what comes of that (Transformer-XL's effective
context, recall over hundreds of tokens) cannot be concluded from them.

## Spans by layer

Mean over heads and texts, least and most of a head.

${spanTable(models)}
${learned === '' ? '' : `\nWhat the heads learned themselves:\n\n${learned}\n${ofSpans}`}
${ofEncoder}${otherData.length === 0 ? '' : dataWords(otherData, dense)}
## The training

${trainingTable()}

Those that stand nowhere above are still short of the common number of tokens. All see the same windows, so the losses in training can be compared step by step. They say how
much of a difference in validation belongs to the moment: at this learning rate the validation loss of one model moves by tenths of a nat from one hundred steps to the next. Seeds are 1; each shipped model carries its log (\`training.json\`). The recipe goes on from its
checkpoints.

## Too small to conclude

- One seed, two million tokens, 1.3 million parameters, ${texts.length} excerpts.
- The order of the papers' mechanisms at their own size and length: texts of ${TOKENS} tokens give a sparse mechanism nothing to save, and little to lose.
- What the simplified block gains: it learns faster in these first steps; its paper has it level with the usual block where the training ends.
${missing.length === 0 ? '' : `- Anything on ${missing.slice(0, -1).join(', ')}${missing.length > 1 ? ' and ' : ''}${missing.at(-1)}, of which no model is here.${missing.includes(SUBJECTS.retro!) ? OF_RETRIEVAL : ''}\n`}`;
  writeFileSync(join(ROOT, 'docs/zoo.md'), text);
  await engine.dispose();
}

void main();
