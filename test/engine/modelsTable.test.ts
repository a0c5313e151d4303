import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { denseRows } from '../../engine/attention/kernels/dense';
import { VERIFIED_MEANS } from '../../shared/verified';
import { Engine } from '../../engine/engine';
import { readSafetensors } from '../../engine/export/safetensors';
import type { CoreInfo, ModelInfo } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats, type Tensor } from '../../engine/runtime/tensor';
import { REFUSALS } from '../fixtures/refusals';

const ROOT = join(__dirname, '../..');
const FIXTURES = join(ROOT, '../shared/fixtures/models');
const OTHER_FORMS = join(ROOT, '../shared/fixtures/forms');
const DOCUMENT = join(ROOT, 'docs/models.md');

/** The export forms, as the fixtures' folders are named, and what they mean. */
const FORMS: Record<string, string> = {
  'eager-script': 'TorchScript exporter, opset 17, attention written out',
  'eager-dynamo': 'dynamo exporter, opset 20, attention written out',
  'sdpa-dynamo': 'dynamo exporter, opset 20, scaled-dot-product attention lowered to MatMul and Softmax',
  'sdpa-op23': 'dynamo exporter, opset 23, one `Attention` node per core',
  'fused-script': "TorchScript export after ONNX Runtime's transformer optimiser",
  'int8-script': 'TorchScript export after dynamic 8-bit quantisation',
};

const FAMILIES: Record<string, string> = {
  albert: 'ALBERT',
  bart: 'BART',
  bert: 'BERT',
  bloom: 'BLOOM',
  distilbert: 'DistilBERT',
  gemma2: 'Gemma 2',
  gpt2: 'GPT-2',
  gpt_neox: 'GPT-NeoX',
  llama: 'Llama',
  modernbert: 'ModernBERT',
  qwen2: 'Qwen 2',
  t5: 'T5',
};

/** Fixtures of forms that tools write beside PyTorch's own exports. */
const OTHERS: Record<string, string> = {
  'gpt_oss-sink-eager-script': 'gpt-oss: a sink beside the keys of the softmax (TorchScript)',
  'ort-fp16-script-rmsnorm': "float16 by ONNX Runtime's converter; loads only with optimisation",
  'tf-input-names': 'inputs under the names of TensorFlow (`input_ids:0`, `input_mask:0`)',
};

/** Forms whose graphs the tests write node by node, so that they are proved without fixtures. */
const WRITTEN = [
  '## Forms of inputs and operators',
  '',
  'Small graphs of these forms are written, cut and proved by the tests (`inputForms`, `softmaxForms`, `fusedOperators`, `writtenOut`,',
  '`attentionForms`):',
  '',
  '- Inputs by their declared rank: `position_ids` and `cache_position` of one axis, positions of three axes ([3, 1, tokens]), masks of two, three',
  '  and four axes, of integers, booleans or added numbers, `src_key_padding_mask` (true = ignore), `head_mask`, `num_logits_to_keep`, lengths,',
  '  caches with open axes, in one tensor (GPT-2) or of fixed size (convolutions, recurrent states: zeros), names of TensorFlow.',
  '- Softmaxes written out: exp over its sum, exp of a log-softmax, a softmax times a mask over the sum of both.',
  '- Sinks: a column beside the scores, `head_sink` and `smooth_softmax` of `GroupQueryAttention`. The mass of the sink is a measure of its own.',
  '- `Attention` of opset 23 and 24 with past keys or key counts, and over another text; fused operators in float16, with normalised queries and keys,',
  "  and with a cache of the window's size (`sliding_window_cache`).",
  '- Models of 64 bits; `MatMulNBits` of any accuracy level: level 4 rounds what it is given, and counts as quantised.',
  '- Folders of `onnxruntime-genai` (`genai_config.json` in place of `config.json`).',
  '',
];

/** Tried by hand with exports of small models that are not kept as fixtures; the forms that failed have written graphs in the tests. */
const ALSO_TRIED = [
  '## Also tried',
  '',
  'Exports of small random models by PyTorch 2.13 and Transformers 5.18, not part of the tests. Each was proved, and its',
  'attentions agree with those of PyTorch within 7e-6:',
  '',
  '- TorchScript, opset 17 (some also 14), attention written out. Decoders: BioGPT, CodeGen, CTRL, DeepSeek V3, Falcon (multi-query and',
  '  new), Gemma, Gemma 3, GPT, GPT-BigCode, GPT-J, GPT-Neo, Granite, Mistral, MPT, Nemotron, OLMo, OLMo 2, OPT, Persimmon, Phi,',
  '  Phi-3, Qwen 3, SmolLM3, StableLM, StarCoder2, XGLM. Encoders: BigBird, CamemBERT, ConvBERT, DeBERTa, DeBERTa v2, ELECTRA, ERNIE, ESM,',
  '  FlauBERT, I-BERT, LayoutLM, Megatron-BERT, MobileBERT, MPNet, Nomic BERT, Nyströmformer, RemBERT, RoBERTa, RoFormer, SqueezeBERT (whose',
  '  PyTorch attentions are scores, so only logits compare), XLM, XLM-RoBERTa, XLNet. Encoder-decoders: Blenderbot, M2M-100, Marian, mBART, mT5,',
  '  NLLB-MoE, Pegasus, UMT5.',
  '- Dynamo, opset 18, 20 and 23: half of these, Cohere, Cohere 2 and GLM; Falcon with ALiBi, whose bfloat16 arithmetic is computed in float32 (only',
  '  its logits compare).',
  '- Decoders with past key-values as inputs (Falcon, Gemma 3, GPT-Neo, Mistral, OPT, Phi-3, Qwen 3, StableLM); encoder and decoder in two',
  '  files (M2M-100, Marian, mBART, mT5, Pegasus).',
  "- After ONNX Runtime's transformer optimiser and as saved by its session, in float16 and with 4-bit weights: 17 of these families, and T5",
  '  optimised (6e-5).',
  '- Windows of 4,096 tokens (Mistral, Gemma 2).',
  '- Hybrids: LFM2 (its convolutions are named, not shown); DiffLlama, whose two maps are multiplied with the values before they are subtracted: named `differential`, each head being one of the two (docs/native.md).',
  '- 65 ways to write masks and biases (`test/reference/mask_forms.py`) at 60 to 2,500 tokens: chunks and blocks of odd sizes, windows by layer, head,',
  '  length or fraction, prefixes, dilations, documents by separator tokens, ALiBi in nine forms, buckets, tables that end, learned decays, single odd queries',
  '  and keys; and 80 written as plain graphs (positions in 16 bits, slopes with a kink, chunks by head or of growing size, masks by hash or branch), against ONNX Runtime.',
  '  What is verified has their probabilities to 2e-6; scales that depend on the place or the length of the text, and queries whose keys are all hidden, are refused.',
  '',
  'Refused with a reason: Longformer, LED and LongT5 (attention in blocks), ProphetNet (two streams in one), models without',
  'softmax attention (YOSO), operators of sparse or paged attention, and exports of a fixed length (Funnel, Mamba). What ONNX Runtime does not run',
  'on the CPU (packed or unpadded inputs, rotary positions inside `Attention`, normalised queries and keys inside `GroupQueryAttention`,',
  '`DecoderMaskedMultiHeadAttention`, bfloat16 arithmetic) is written out in operators that it runs, and the proof says that it compares with those.',
];

interface Proved {
  info: ModelInfo;
  /** Largest difference to the framework's attention probabilities; null where the fixture has none. */
  attentions: number | null;
}

/**
 * Every fixture goes through the whole service, from its folder to its heads, and docs/models.md must say what came out.
 * UPDATE_DOCS=1 writes the document anew.
 */
describe('the table of models', function () {
  this.timeout(300_000);
  const proved = new Map<string, Proved>();
  const others = new Map<string, Proved>();
  let runtime: Runtime;
  const engine = new Engine();
  before(async function () {
    if (!existsSync(FIXTURES)) {
      console.log('      SKIPPED: no ../shared/fixtures/models beside the repository');
      return this.skip();
    }
    runtime = await createRuntime('cpu');
    for (const name of readdirSync(FIXTURES)) proved.set(name, await prove(join(FIXTURES, name)));
    for (const name of Object.keys(OTHERS)) others.set(name, await prove(join(OTHER_FORMS, name)));
  });
  after(async () => {
    await engine.dispose();
    await runtime?.dispose();
  });

  async function prove(folder: string): Promise<Proved> {
    const name = basename(folder);
    const expected = await readSafetensors(join(folder, 'expected.safetensors'));
    const text = await readFile(join(folder, 'text.txt'), 'utf8');
    let attentions = null as number | null;
    const params = { id: name, model: folder, text, target: text, device: 'cpu' as const, maxTokens: null };
    const summary = await engine.analyze({ ...params, mechanisms: [], propagate: false }, neverCancelled, {
      forget: true,
      onTensors: async (core, input) => {
        const reference = attentionOf(expected, core);
        if (!reference) return;
        const { queries, keys } = input;
        for (let head = 0; head < input.heads; head++) {
          const rows: Float32Array = await denseRows(input, head, 0, queries, {
            runtime,
            signal: neverCancelled,
          });
          const own: Float32Array = reference.subarray(head * queries * keys, (head + 1) * queries * keys);
          assert.equal(rows.length, own.length);
          for (let i = 0; i < rows.length; i++) {
            attentions = Math.max(attentions ?? 0, Math.abs(rows[i]! - own[i]!));
          }
        }
      },
    });
    await engine.request('analysis/dispose', { id: name });
    return { info: summary.model, attentions };
  }

  it('holds for every fixture', () => {
    assert.ok(proved.size >= 30);
    for (const [name, { info, attentions }] of proved) {
      // Rounding to 8 bits jumps: an int8 model differs as much from itself at two levels of optimisation.
      const bound = name.includes('int8') ? 5e-2 : name.startsWith('t5') ? 1e-4 : 2e-5;
      assert.ok(info.verified.maxRelDiff <= bound, `${name}: ${info.verified.maxRelDiff}`);
      if (attentions !== null) assert.ok(attentions <= 1e-4, `${name}: ${attentions}`);
    }
  });

  it('holds for forms of other tools', () => {
    for (const [name, { info, attentions }] of others) {
      const bound = name.includes('fp16') ? 5e-3 : 2e-5;
      assert.ok(info.verified.maxRelDiff <= bound, `${name}: ${info.verified.maxRelDiff}`);
      if (attentions !== null) assert.ok(attentions <= 1e-4, `${name}: ${attentions}`);
    }
    assert.match(others.get('gpt_oss-sink-eager-script')!.info.cores[0]!.mask, /sink/);
  });

  it('tells refusals in the words of the engine', async () => {
    const files = readdirSync(join(ROOT, 'engine'), { recursive: true }).map(
      file => `engine/${String(file)}`,
    );
    const sources = [...files.filter(file => file.endsWith('.ts')), 'shared/refusals.ts'];
    const texts = await Promise.all(sources.map(file => readFile(join(ROOT, file), 'utf8')));
    for (const { source } of REFUSALS)
      assert.ok(
        texts.some(text => text.includes(source)),
        source,
      );
  });

  it('is what docs/models.md says', async () => {
    const table = await documentOf(proved, others);
    if (process.env.UPDATE_DOCS) await writeFile(DOCUMENT, table);
    assert.equal(await readFile(DOCUMENT, 'utf8'), table, 'run this test with UPDATE_DOCS=1');
  });
});

function attentionOf(expected: Record<string, Tensor>, core: CoreInfo): Float32Array | null {
  const stacks = { self: '', encoder: 'encoder_', decoder: 'decoder_', cross: 'cross_' };
  const tensor = expected[`${stacks[core.kind]}attentions.${core.layer}`];
  return tensor ? floats(tensor) : null;
}

async function documentOf(
  proved: ReadonlyMap<string, Proved>,
  others: ReadonlyMap<string, Proved>,
): Promise<string> {
  const forms = Object.keys(FORMS).filter(form => [...proved.keys()].some(name => name.endsWith(`-${form}`)));
  const families = [...new Set([...proved.keys()].map(name => name.split('-')[0]!))];
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const words = ({ attentions }: Proved): string =>
    attentions === null ? 'proved' : `proved, heads < ${bound(attentions)}`;
  const masksOf = ({ info }: Proved): string => [...new Set(info.cores.map(core => core.mask))].join('; ');
  const cell = (family: string, form: string): string => {
    const found = proved.get(`${family}-${form}`);
    return found ? words(found) : '';
  };
  const lines = families.map(family => {
    const [, first] = [...proved].find(([name]) => name.startsWith(`${family}-`))!;
    return row([
      FAMILIES[family] ?? family,
      first.info.kind,
      masksOf(first),
      ...forms.map(form => cell(family, form)),
    ]);
  });
  const text = [
    '# Models',
    '',
    'Any transformer that is exported to ONNX can be opened: from a file, a folder in the Hugging Face layout, or the hub.',
    'A model is cut at its attention, and what it computes cut is compared with what it computes whole; a model whose two',
    'results differ is refused. So this table is not a list of what is allowed, only of what the tests prove: the test',
    '`test/engine/modelsTable.test.ts` writes it from small models of each family.',
    '',
    '"Proved": the cut model gives the logits of the whole model in ONNX Runtime within 2e-5 of the largest (or ten times what the model\'s',
    'own runs lie apart: T5 amplifies rounding and is run in float64; quantised models: each attention, on the same inputs, within 1e-4 of what the model\'s own nodes give, and the output, whose rounding jumps, no further off than three times what those nodes lead to when they are moved by the last digit, or than a tenth of the largest; float16: 5e-3). "Heads": largest difference of any attention probability to those',
    'that PyTorch gives for the same model.',
    '',
    row(['family', 'kind', 'masks and biases recognised', ...forms]),
    row(['---', '---', '---', ...forms.map(() => '---')]),
    ...lines,
    '',
    ...forms.map(form => `- \`${form}\`: ${FORMS[form]}`),
    '',
    row(['form of other tools', 'masks and biases recognised', 'result']),
    row(['---', '---', '---']),
    ...[...others].map(([name, found]) => row([OTHERS[name]!, masksOf(found), words(found)])),
    '',
    ...WRITTEN,
    ...ALSO_TRIED,
    '',
    '## What "verified" means',
    '',
    VERIFIED_MEANS.join(' '),
    '',
    'The status bar, the command line and `analyze --json` say, for each analysis, on how many tokens the two models were compared, how',
    "far they lie apart (and how far the uncut model's own runs do, where it amplifies rounding), and at which length masks and biases were",
    'compared: at every query where all chains together take at most 17 million pairs or a 32nd of the pairs of all heads, else at the ends, powers of',
    "two, multiples of the graph's own numbers, borders of the rule, and some at random, up to that number, and the share is said. Where a rule learnt from short samples does not hold at the length of a text, it is learnt anew there (another window, one window for each head, chunks,",
    "another table), or the model's own graph computes the bias in blocks of rows; what is not understood even so is refused. The uncut",
    'model reads as many of the first tokens as fit in 1.5 % of the arithmetic of the whole text (counted, not timed: a text is always compared as far), and 24 at least. A text for which the model itself gives',
    'NaN or infinity is refused, naming the first token.',
    'Of four analyses of the bundled model at 900 to 1,100 tokens, the first one included, both comparisons took 4.4 to 5.1 % of the user CPU time, of which masks',
    'and biases 2.7 % (`npm run bench -- --only checks`: medians of five processes, on two slow cores with 17 others waiting for them).',
    '',
    '## What is refused',
    '',
    row(['sentence', 'what it is', 'what to do']),
    row(['---', '---', '---']),
    ...REFUSALS.map(({ sentence, means, remedy }) => row([sentence, means, remedy])),
    '',
    '## Where models come from',
    '',
    '- `bundled`, or the name of a bundled model.',
    "- `zoo/NAME`: one of our small models, each made with the mechanism of one paper ([zoo.md](zoo.md)); the model list has them under _The papers_. Some come with the package, the others are fetched from the release when they are chosen: by HTTPS, each file checked against the sum that the package knows, and kept where models of the hub are. `ATTENTION_INSPECTOR_RELEASE` names another address with the release's files.",
    '- An `.onnx` file, with its tokenizer beside it or one folder up.',
    '- A folder with `config.json`, a tokenizer, and `model.onnx` or `onnx/*.onnx`. Of several variants the most exact is taken',
    '  (float32, then float16, then 8 bits, then 4 bits).',
    '- A hub id: `org/name`, `org/name@revision`, one variant: `org/name/onnx/model_int8.onnx`, or the address of its page. Downloads go on where a broken',
    '  connection stopped, are checked, and are kept for use without a network. `HF_TOKEN` opens private models, `HF_ENDPOINT`',
    '  names a mirror, `HF_HUB_OFFLINE=1` asks nothing of the network, `ATTENTION_INSPECTOR_CACHE` is where models are kept.',
    '',
    "A snapshot in Hugging Face's own cache is a folder like any other: its links are followed to the weights. Weight files may have any name that the",
    '.onnx file gives them.',
    '',
    'An encoder-decoder in two files (`encoder_model.onnx` and `decoder_model.onnx` or `decoder_model_merged.onnx`, of the same',
    'variant) is joined and opened as one model; so is a decoder that takes `inputs_embeds`, with `embed_tokens.onnx` beside it.',
    '',
    'Tokenizers: `tokenizer.json` of any kind (WordPiece, byte-level BPE, Unigram, WordLevel), or the older `vocab.txt`, or',
    '`vocab.json` with `merges.txt`.',
    '',
  ].join('\n');
  const { format, resolveConfig } = await import('prettier');
  return format(text, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown' });
}

/** A round number above the difference, with room for what machines disagree by. */
function bound(value: number): string {
  const steps = ['1e-5', '2e-5', '5e-5', '1e-4', '2e-4', '5e-4', '1e-3'];
  return steps.find(step => value * 1.2 <= Number(step)) ?? '1';
}
