import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { RefusedError } from '../../engine/errors';
import { ModelWriter } from '../fixtures/onnxModels';
import { assertReproduces, Bench, DIM, HEADS, linear, VOCABULARY, WIDTH } from './cutHarness';

type Elements = 'int64' | 'int32' | 'float32' | 'bool' | 'float16';

/** One layer of attention whose scores and hidden states read the extra inputs of a model. */
interface Form {
  /** Name and shape of the input that takes the token ids. */
  ids?: [name: string, dims: (string | number)[]];
  inputs: [name: string, type: Elements, dims: (string | number)[]][];
  /** Changes the embedding, the scores [1, heads, tokens, tokens], the keys or the logits. */
  embedding?(m: ModelWriter, x: string): string;
  scores?(m: ModelWriter, scores: string): string;
  logits?(m: ModelWriter, logits: string): string;
  config?: Record<string, unknown>;
  /** What the mask must be recognised as. */
  mask: string;
}

function written(form: Form): ModelWriter {
  const m = new ModelWriter();
  const [name, dims] = form.ids ?? ['input_ids', ['batch', 'sequence']];
  m.input(name, 'int64', dims);
  for (const [input, type, shape] of form.inputs) m.input(input, type, shape);
  m.weight('table', [VOCABULARY, WIDTH], 1);
  const ids = dims.length === 1 ? m.op('Unsqueeze', [name, m.ints('batch', [0])]) : name;
  let x = m.op('Gather', ['table', ids]);
  x = form.embedding?.(m, x) ?? x;
  const [q, k, v] = ['q', 'k', 'v'].map(part => {
    const split = m.op('Reshape', [linear(m, x, part), m.ints(`split${part}`, [0, 0, HEADS, DIM])]);
    return m.op('Transpose', [split], { perm: part === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] });
  }) as [string, string, string];
  let scores = m.op('Mul', [m.op('MatMul', [q, k]), m.floats('scale', [0.25], [])]);
  scores = form.scores?.(m, scores) ?? scores;
  const context = m.op('MatMul', [m.op('Softmax', [scores], { axis: -1 }), v]);
  const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
  const joined = m.op('Reshape', [back, m.ints('join', [0, 0, WIDTH])]);
  const hidden = form.logits?.(m, joined) ?? joined;
  m.op('MatMul', [hidden, m.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
  m.output('logits');
  return m;
}

const float = (m: ModelWriter, name: string) => m.op('Cast', [name], { to: 1 });
const hiddenWhere = (m: ModelWriter, keep: string, scores: string) =>
  m.op('Where', [keep, scores, m.floats('low', [-3e38], [])]);
/** A row of the embedding for each position. */
const placed = (m: ModelWriter, x: string, positions: string) =>
  m.op('Add', [x, m.op('Gather', [m.weight('places', [200, WIDTH], 0.5), positions])]);

const FORMS: Record<string, Form> = {
  'names of TensorFlow': {
    ids: ['input_word_ids:0', ['batch', 'sequence']],
    inputs: [['input_type_ids:0', 'int64', ['batch', 'sequence']]],
    embedding: (m, x) => placed(m, x, 'input_type_ids:0'),
    mask: 'full',
  },
  'token ids without a batch': { ids: ['tokens', ['sequence']], inputs: [], mask: 'full' },
  'a mask of three axes': {
    inputs: [['attention_mask', 'int64', ['batch', 'queries', 'keys']]],
    scores: (m, s) =>
      hiddenWhere(m, m.op('Unsqueeze', [m.op('Cast', ['attention_mask'], { to: 9 }), m.ints('one', [1])]), s),
    mask: 'full',
  },
  'a boolean mask of four axes in a decoder': {
    inputs: [['attention_mask', 'bool', ['batch', 1, 'queries', 'keys']]],
    scores: (m, s) => hiddenWhere(m, 'attention_mask', s),
    config: { architectures: ['LlamaForCausalLM'] },
    mask: 'causal',
  },
  'a mask of four axes that is added': {
    inputs: [['attention_mask', 'float32', ['batch', 1, 'queries', 'keys']]],
    scores: (m, s) => m.op('Add', [s, 'attention_mask']),
    config: { architectures: ['LlamaForCausalLM'] },
    mask: 'causal',
  },
  'a mask of one row for all queries': {
    inputs: [['attention_mask', 'float32', ['batch', 1, 1, 'keys']]],
    scores: (m, s) => m.op('Add', [s, 'attention_mask']),
    mask: 'full',
  },
  'padding keys are true (PyTorch)': {
    inputs: [['src_key_padding_mask', 'bool', ['batch', 'sequence']]],
    scores: (m, s) =>
      hiddenWhere(m, m.op('Not', [m.op('Unsqueeze', ['src_key_padding_mask', m.ints('axes', [1, 2])])]), s),
    mask: 'full',
  },
  'a mask of queries by keys that is added (PyTorch)': {
    inputs: [['tgt_mask', 'float32', ['sequence', 'sequence']]],
    scores: (m, s) => m.op('Add', [s, 'tgt_mask']),
    mask: 'causal',
  },
  'a mask of keys under a short name': {
    inputs: [['attn_mask', 'int64', ['batch', 'sequence']]],
    scores: (m, s) => {
      const keep = m.op('Unsqueeze', [m.op('Cast', ['attn_mask'], { to: 9 }), m.ints('axes', [1, 2])]);
      return hiddenWhere(m, keep, s);
    },
    mask: 'full',
  },
  'positions of one axis': {
    inputs: [['position_ids', 'int64', ['sequence']]],
    embedding: (m, x) => placed(m, x, 'position_ids'),
    mask: 'full',
  },
  'positions of three axes (time, height, width)': {
    inputs: [['position_ids', 'int64', [3, 'batch', 'sequence']]],
    embedding: (m, x) => placed(m, x, m.op('Gather', ['position_ids', m.ints('height', [1], [])])),
    mask: 'full',
  },
  'positions in the cache decide what is seen': {
    inputs: [['cache_position', 'int64', ['sequence']]],
    scores: (m, s) => {
      const rows = m.op('Reshape', ['cache_position', m.ints('rows', [-1, 1])]);
      return hiddenWhere(
        m,
        m.op('LessOrEqual', [m.op('Reshape', ['cache_position', m.ints('columns', [1, -1])]), rows]),
        s,
      );
    },
    mask: 'causal',
  },
  'how many logits to keep': {
    inputs: [['num_logits_to_keep', 'int64', []]],
    logits: (m, x) => {
      const from = m.op('Reshape', [m.op('Neg', ['num_logits_to_keep']), m.ints('flat', [1])]);
      return m.op('Slice', [x, from, m.ints('end', [2 ** 40]), m.ints('tokens', [1])]);
    },
    mask: 'full',
  },
  'a mask of heads': {
    inputs: [['head_mask', 'float32', ['layers', 'heads']]],
    embedding: (m, x) => m.op('Mul', [x, 'head_mask']),
    mask: 'full',
  },
  'states of a convolution': {
    inputs: [
      ['past_conv.0', 'float32', ['batch', 3, WIDTH]],
      ['past_key_values.0.recurrent_state', 'float32', ['batch', 1, WIDTH]],
    ],
    embedding: (m, x) =>
      m.op('Add', [
        m.op('Slice', [
          m.op('Concat', ['past_conv.0', x], { axis: 1 }),
          m.ints('three', [3]),
          m.ints('end', [2 ** 40]),
          m.ints('tokens', [1]),
        ]),
        'past_key_values.0.recurrent_state',
      ]),
    mask: 'full',
  },
  'lengths as numbers': {
    inputs: [
      ['past_sequence_length', 'int32', [1]],
      ['total_sequence_length', 'int32', []],
    ],
    embedding: (m, x) =>
      m.op('Mul', [
        x,
        float(
          m,
          m.op('Sub', [
            m.op('Min', ['total_sequence_length', m.raw('one32', 6, Uint8Array.of(1, 0, 0, 0), [])]),
            'past_sequence_length',
          ]),
        ),
      ]),
    mask: 'full',
  },
};

describe('forms of the inputs of a model', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const [name, form] of Object.entries(FORMS))
    it(name, async () => {
      const cut = await bench.load(written(form), form.config);
      assert.deepEqual(
        cut.info.cores.map(c => c.mask),
        [form.mask],
      );
      await assertReproduces(cut);
      await cut.dispose();
    });

  /** Keys and values with a past in front. */
  const withPast = (name: string, dims: (string | number)[], config: Record<string, unknown>) => {
    const m = written({ inputs: [[name, 'float32', dims]], mask: '' });
    const product = m.nodes.findIndex(n => n.op_type === 'MatMul' && n.input![1]!.startsWith('Transpose'));
    const added = m.nodes.length;
    const turned = m.nodes[product]!.input![1]!;
    const past = dims.length === 5 ? m.op('Gather', [name, m.ints('keys', [0], [])]) : name;
    const all = m.op('Concat', [m.op('Transpose', [past], { perm: [0, 1, 3, 2] }), turned], { axis: 3 });
    m.nodes[product]!.input![1] = all;
    m.nodes.splice(product, 0, ...m.nodes.splice(added));
    return bench.load(m, config);
  };
  const sizes = { hidden_size: WIDTH, num_attention_heads: HEADS };

  it('a cache whose last axis is a name: the configuration has the size of a head', async () => {
    const cut = await withPast('past_key_values.0.key', ['batch', HEADS, 'past', 'kv_cache_dim'], sizes);
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('keys and values in one cache (GPT-2)', async () => {
    const cut = await withPast('past_0', [2, 'batch', HEADS, 'past', DIM], {});
    await assertReproduces(cut);
    await cut.dispose();
  });

  const refused = (load: Promise<unknown>, message: RegExp) =>
    assert.rejects(load, (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      assert.match(error.message, message);
      return true;
    });

  it('says what is missing where no file tells the size of a cache', () =>
    refused(
      withPast('past_key_values.0.key', ['batch', HEADS, 'past', 'kv_cache_dim'], {}),
      /no.* config\.json names its size/,
    ));

  it('refuses a fixed number of texts', () =>
    refused(
      bench.load(written({ ids: ['input_ids', [2, 'sequence']], inputs: [], mask: '' })),
      /exactly 2 texts/,
    ));

  it('a decoder of embeddings with the table beside it', async () => {
    const whole = written({ inputs: [['attention_mask', 'int64', ['batch', 'sequence']]], mask: 'full' });
    const table = new ModelWriter();
    table.input('input_ids', 'int64', ['batch', 'sequence']);
    table.initializers.push(...whole.initializers.splice(0, 1));
    table.op('Gather', ['table', 'input_ids'], {}, 'inputs_embeds');
    table.output('inputs_embeds');
    const decoder = new ModelWriter();
    decoder.input('inputs_embeds', 'float32', ['batch', 'sequence', WIDTH]);
    const looked = whole.nodes.shift()!.output![0]!;
    decoder.initializers.push(...whole.initializers);
    for (const node of whole.nodes)
      node.input = node.input!.map(name => (name === looked ? 'inputs_embeds' : name));
    decoder.nodes.push(...whole.nodes);
    decoder.output('logits');
    writeFileSync(bench.path('embed_tokens.onnx'), table.encode());
    const cut = await bench.load(decoder, {}, { embedding: bench.path('embed_tokens.onnx') });
    assert.equal(cut.info.vocabulary, VOCABULARY);
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('refuses embeddings without their table', () => {
    const m = new ModelWriter();
    m.input('inputs_embeds', 'float32', ['batch', 'sequence', WIDTH]);
    m.op('Identity', ['inputs_embeds'], {}, 'logits');
    m.output('logits');
    return refused(bench.load(m), /embed_tokens\.onnx/);
  });

  it("never shows ONNX Runtime's own words", () =>
    refused(
      bench.load(
        written({
          inputs: [['position_ids', 'int64', ['sequence']]],
          embedding: (m, x) => m.op('Reshape', [x, m.ints('wrong', [1, 7, 9])]),
          mask: '',
        }),
      ),
      /^ONNX Runtime does not load the model: the shapes of its tensors do not fit together\.$/,
    ));
});
