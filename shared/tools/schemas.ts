/**
 * What the assistants' tools take and give. One definition for the MCP server, which publishes it as JSON schema, and for
 * the editor, whose manifest holds the same. Everything is bounded: a tool's answer is read by a language model.
 */
import * as v from 'valibot';
import { POOLINGS } from '../protocol/models';
import { ROLES } from '../protocol/text';

const SIDES = ['text', 'target'] as const;

const described = <T extends v.GenericSchema>(schema: T, description: string) =>
  v.pipe(schema, v.description(description));
const whole = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

// ---------------------------------------------------------------- what is asked

/** Longer texts come as a file. */
const TEXT_LENGTH = 200_000;
const DEFAULT_TOKENS = 2048;
export const DEFAULT_TOP = 12;
export const DEFAULT_BUDGET = 0.1;

const source = {
  text: v.optional(
    described(
      v.pipe(v.string(), v.minLength(1), v.maxLength(TEXT_LENGTH)),
      'The text itself. Give this or `file`.',
    ),
  ),
  file: v.optional(
    described(
      v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
      'A UTF-8 file below the folder that is served, relative to it. Give this or `text`.',
    ),
  ),
  model: v.optional(
    described(
      v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
      'The name of a bundled model, or an .onnx file or model folder below the folder that is served. Default: the model that was chosen by the user.',
    ),
  ),
  maxTokens: v.optional(described(whole(2, 8192), 'Read only so many tokens of the text.'), DEFAULT_TOKENS),
};
const head = {
  core: v.optional(
    described(
      whole(0, 4095),
      'An attention core, in execution order from 0 (in decoders and encoders: the layer). Default: the mean over all.',
    ),
  ),
  head: v.optional(described(whole(0, 4095), 'A head of that core, from 0. Default: the mean over all.')),
};
const top = v.optional(described(whole(1, 50), 'List so many at most.'), DEFAULT_TOP);

export const analyzeInput = v.strictObject({ ...source, top });

export const explainInput = v.strictObject({
  ...source,
  token: v.optional(
    described(
      whole(0, 1 << 20),
      'The token, counted from 0 (as analyze_attention and this tool count). Give this or `word`.',
    ),
  ),
  word: v.optional(
    described(
      v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
      'A passage of the text, such as a word; its tokens are explained. Give this or `token`.',
    ),
  ),
  occurrence: v.optional(described(whole(1, 10_000), 'Which occurrence of the word, from 1.'), 1),
  side: v.optional(
    described(
      v.picklist(SIDES),
      'Which text of an encoder-decoder the token or word is of: the analyzed one, or what the decoder writes.',
    ),
    'text',
  ),
  ...head,
  top,
});

export const compareInput = v.strictObject({
  ...source,
  mechanisms: v.optional(
    described(
      v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(40))), v.minLength(1), v.maxLength(8)),
      'Names such as local, streaming, strided, longformer, adaptive-span, lsh, routing, top-k.',
    ),
    ['local', 'streaming', 'adaptive-span', 'routing', 'lsh'],
  ),
  budget: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0.001), v.maxValue(1)),
      'Share of the dense query-key pairs that each mechanism may spend.',
    ),
    DEFAULT_BUDGET,
  ),
  propagate: v.optional(
    described(
      v.boolean(),
      'Also run the text on with each mechanism in every layer, for the change of the loss.',
    ),
    true,
  ),
});

export const rolesInput = v.strictObject({
  ...source,
  role: v.optional(described(v.picklist(ROLES), 'Only heads of this role.')),
  ablate: v.optional(
    described(
      v.boolean(),
      'Also run the text on without each head, for what the model loses (slower). On the probe it is always told.',
    ),
    false,
  ),
  top: v.optional(described(whole(1, 50), 'List so many heads of each role at most.'), DEFAULT_TOP),
});

// ---------------------------------------------------------------- what is answered

const text = v.pipe(v.string(), v.maxLength(1000));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const number = v.number();
const list = <T extends v.GenericSchema>(of: T, most: number) => v.pipe(v.array(of), v.maxLength(most));

const change = v.object({ delta: number, low: number, high: number });
const role = v.picklist(ROLES);
const model = v.object({
  name: text,
  kind: v.picklist(['decoder', 'encoder', 'encoder-decoder']),
  layers: count,
  heads: count,
  context: v.nullable(count),
});
const notes = list(text, 20);
const read = {
  model,
  tokens: described(count, 'Tokens that were read.'),
  textTokens: described(count, 'Tokens that the text has.'),
};
const listedHead = {
  core: count,
  layer: count,
  kind: v.picklist(['self', 'encoder', 'decoder', 'cross']),
  head: count,
};

export const analyzeOutput = v.object({
  ...read,
  verified: described(v.boolean(), 'The cut model gave the outputs of the uncut one on this text.'),
  loss: described(
    v.nullable(number),
    'Mean loss in nats per token; null where the model predicts no tokens.',
  ),
  headCount: count,
  heads: described(
    list(
      v.object({
        ...listedHead,
        roles: list(v.object({ role, score: number }), ROLES.length),
        entropy: number,
        meanDistance: number,
        span95: number,
      }),
      50,
    ),
    'Heads with the clearest roles first; entropy in nats, distances and spans in tokens, scores as shares of the mass.',
  ),
  notes,
});

const link = v.object({ token: count, text, mass: number, side: v.picklist(SIDES) });
const links = list(link, 50);

export const explainOutput = v.object({
  ...read,
  of: described(text, 'Whose attention it is.'),
  explained: list(
    v.object({
      token: count,
      text,
      context: described(text, 'The token in its sentence, between « and ».'),
      loss: described(v.nullable(number), 'Nats; of predicting this token.'),
      entropy: described(v.nullable(number), 'Nats; null where the token looks at nothing in that core.'),
      looksAt: links,
      lookedAtBy: links,
      across: v.optional(
        described(
          v.object({ looksAt: links, lookedAtBy: links }),
          'Of a mean over all heads of an encoder-decoder: the mean of its cross attention.',
        ),
      ),
    }),
    4,
  ),
  moreTokens: described(count, 'Tokens of the word beyond those that are explained.'),
});

export const compareOutput = v.object({
  ...read,
  budget: number,
  loss: v.nullable(number),
  mechanisms: described(
    list(
      v.object({
        name: text,
        params: v.record(text, v.union([number, v.boolean(), text])),
        share: described(number, 'Share of the dense pairs that it really spends.'),
        recall: described(v.nullable(number), 'Share of the dense attention mass that it keeps (local).'),
        outputError: described(number, 'Relative error of the heads’ outputs (local).'),
        deltaLoss: described(v.nullable(number), 'Change of the loss in nats per token (propagated).'),
        deltaOutput: described(
          v.nullable(number),
          'Where there is no loss: 1 - cosine of the outputs (propagated).',
        ),
        embedding: described(
          v.nullable(v.object({ pooling: v.picklist(POOLINGS), cosine: number, length: number })),
          'Of models without a head: cosine between the text’s embedding without and with it, and its length as a multiple (propagated).',
        ),
        interval: described(
          v.nullable(v.object({ low: number, high: number })),
          '95 % of what the change may be; null where there are too few tokens to tell.',
        ),
        notes,
      }),
      8,
    ),
    'Those that cost least first.',
  ),
  leftOut: described(list(text, 8), 'Mechanisms without a setting within the budget.'),
});

export const rolesOutput = v.object({
  ...read,
  measured: described(
    v.picklist(['text', 'probe']),
    'On the text, or on the canonical probe of repeated random words.',
  ),
  measure: described(
    v.nullable(v.picklist(['loss', 'output'])),
    'What the cost of a head is of: loss in nats per token, or 1 - cosine of the outputs.',
  ),
  roles: list(
    v.object({
      role,
      heads: list(
        v.object({
          ...listedHead,
          score: described(number, 'Share of the mass that earned the role.'),
          cost: v.nullable(
            described(change, 'What the model loses without the head, with its 95 % interval.'),
          ),
        }),
        50,
      ),
    }),
    ROLES.length,
  ),
});
