import { RefusedError, refused, told } from '../../errors';
import { ElementType } from '../../runtime/onnxProto';
import { isHalf } from './elementTypes';
import { positionsOf, type Positions } from './positions';

export interface GraphInput {
  name: string;
  type: number;
  /** Fixed sizes as numbers, symbolic ones as names; null = unknown rank. */
  dims: (number | string)[] | null;
}

/**
 * What the inputs of a model take, by their names, element types and declared shapes. Exporters agree on few names, so the
 * conventions of the usual ones are listed here, and the rank that the file declares decides the form.
 */
export type InputRole =
  /** Token ids of the text, or of the target text of an encoder-decoder. */
  | { kind: 'text' | 'target' }
  /** `visible` and `hidden`: what stands for a key that is read and for one that is not; `byQuery`: for every query. */
  | { kind: 'mask'; visible: number; hidden: number; byQuery: boolean; causal: boolean }
  /** One for every head that takes part: all of them. */
  | { kind: 'heads' }
  | { kind: 'positions' }
  /** Segments, languages, boxes: one kind of everything. */
  | { kind: 'zeros' }
  /** A number of tokens: those of the text plus `beyond`, or none at all. */
  | { kind: 'length'; of: 'text' | 'past'; beyond: number }
  /** Which positions give logits: all. */
  | { kind: 'kept' }
  /** Whether a merged decoder takes the branch with a cache: it does not. */
  | { kind: 'branch' }
  /** Past keys and values, none of them; states of a fixed size, all zero. */
  | { kind: 'cache' };

/** What the configuration tells of inputs that the file leaves open. */
export interface Conventions {
  /** Masks of queries by keys hide what is to come. */
  causal: boolean;
  /** Features of one head, and heads of the cache; null = not told. */
  headSize: number | null;
  kvHeads: number | null;
  /** How inputs of positions are counted. */
  positions: Positions;
}

const TEXT = [
  'input_ids',
  'input_ids_0',
  'input_word_ids',
  'token_ids',
  'input_tokens',
  'src_tokens',
  'tokens',
  'input',
  'inputs',
  'ids',
  'src',
  'input.1',
];
const TARGET = ['decoder_input_ids', 'decoder_token_ids', 'prev_output_tokens', 'tgt'];

/** TensorFlow writes `input_ids:0` and `serving_default_input_ids`. */
const plain = (name: string) => name.replace(/^serving_default_/, '').replace(/:\d+$/, '');

const isInteger = ({ type }: GraphInput) => type === ElementType.int64 || type === ElementType.int32;
const isFloat = ({ type }: GraphInput) =>
  type === ElementType.float32 || type === ElementType.float64 || isHalf(type);

/** Names of the graph inputs that take token ids: the text, then the target text if there is one. */
export function idInputs({ inputs }: { inputs: readonly GraphInput[] }): string[] {
  const integer = inputs.filter(isInteger);
  const named = (names: readonly string[]) =>
    names.map(name => integer.find(i => plain(i.name) === name)).find(i => i !== undefined);
  const target = named(TARGET);
  const others = integer.filter(i => i !== target && conventionalRole(i) === null);
  const chosen = named(TEXT) ?? (others.length === 1 ? others[0] : undefined);
  if (!chosen) throw noIds(inputs);
  refuseFixed(chosen);
  return target ? [chosen.name, target.name] : [chosen.name];
}

function noIds(inputs: readonly GraphInput[]): RefusedError {
  const has = (pattern: RegExp) => inputs.some(i => pattern.test(i.name));
  if (has(/^inputs_embeds/))
    return new RefusedError(
      'The model takes embeddings instead of token ids: its embed_tokens.onnx must lie beside it.',
    );
  if (has(/^encoder_hidden_states/)) return unknownInput('encoder_hidden_states');
  const names = inputs.map(i => i.name).join(', ');
  return new RefusedError(
    told`The model takes no token ids that the inspector knows of (its inputs: ${names}).`,
  );
}

function refuseFixed({ dims }: GraphInput): void {
  if (!dims) return;
  const tokens = dims.at(-1);
  if (typeof tokens === 'number') throw refused('exactTokens', tokens);
  const batch = dims.length > 1 ? dims[0] : 1;
  if (typeof batch === 'number' && batch !== 1) throw refused('exactTexts', batch);
}

/** The role of an input that takes no token ids; null = of no known meaning. */
function conventionalRole(input: GraphInput, conventions?: Conventions): InputRole | null {
  const name = plain(input.name).toLowerCase();
  if (/head_mask/.test(name)) return { kind: 'heads' };
  if (/mask/.test(name)) return maskRole(input, name, conventions?.causal ?? false);
  if (/position|(^|_)pos_ids$/.test(name) && (input.dims?.length ?? 0) <= 3) return { kind: 'positions' };
  if (/token_type|segment|type_ids|^langs?$|lang_ids?$|^bbox$/.test(name)) return { kind: 'zeros' };
  if (/logits_to_keep/.test(name)) return { kind: 'kept' };
  if (/use_cache_branch/.test(name)) return { kind: 'branch' };
  if (/past_(sequence_)?len(gth)?s?$|past_seq_len/.test(name))
    return { kind: 'length', of: 'past', beyond: 0 };
  if (/^seqlens_k$/.test(name)) return { kind: 'length', of: 'text', beyond: -1 };
  if (/(^|_)(seq(uence)?_?len(gth)?s?|kv_seqlen|lengths?)$/.test(name))
    return { kind: 'length', of: 'text', beyond: 0 };
  if (/past|cache|(conv|ssm|recurrent)_?state/.test(name)) return { kind: 'cache' };
  return null;
}

/**
 * Masks of keys say 1 for a token. PyTorch's own (`src_key_padding_mask`, a boolean `src_mask`) say true for what is
 * hidden, and masks of queries by keys in floating point are added to the scores.
 */
function maskRole(input: GraphInput, name: string, decoder: boolean): InputRole {
  const rank = input.dims?.length ?? 2;
  const [rows, columns] = input.dims ?? [];
  const square =
    rank === 2 && (/^(src|tgt|memory)_mask$/.test(name) || (rows !== undefined && rows === columns));
  const added = isFloat(input) && (rank === 4 || square);
  const ignoring = /key_padding_mask$/.test(name) || (square && input.type === ElementType.bool);
  const [visible, hidden] = added ? [0, -10_000] : ignoring ? [0, 1] : [1, 0];
  const byQuery = rank > 2 || square;
  const own = /^(decoder_|tgt_)/.test(name) || (decoder && !/^(encoder_|src_|memory_)/.test(name));
  return { kind: 'mask', visible, hidden, byQuery, causal: byQuery && own };
}

export function roleOf(
  input: GraphInput,
  ids: readonly string[],
  conventions: Conventions,
): InputRole | null {
  if (input.name === ids[0]) return { kind: 'text' };
  if (input.name === ids[1]) return { kind: 'target' };
  return conventionalRole(input, conventions);
}

/** Inputs of the target text in a model that takes two. */
export const isOfTarget = (name: string): boolean => /^(serving_default_)?(decoder_|tgt)/.test(name);

export function unknownInput(name: string): RefusedError {
  if (name === 'encoder_hidden_states')
    return new RefusedError(
      'The file holds the decoder of an encoder-decoder only: its encoder_model.onnx must lie beside it.',
    );
  return new RefusedError(told`The model has an input ${name} that the inspector does not know how to fill.`);
}

/** What config.json says of the shapes that a file leaves open. */
export function conventionsOf(inputs: readonly GraphInput[], config: Record<string, unknown>): Conventions {
  const text = isRecord(config['text_config']) ? { ...config, ...config['text_config'] } : config;
  const first = (...keys: string[]) =>
    keys.map(key => text[key]).find((v): v is number => typeof v === 'number' && v > 0) ?? null;
  const heads = first('num_attention_heads', 'n_head', 'num_heads', 'n_heads');
  const width = first('hidden_size', 'n_embd', 'd_model', 'n_embed');
  const architectures = Array.isArray(config['architectures']) ? config['architectures'].map(String) : [];
  return {
    causal:
      config['is_decoder'] === true ||
      architectures.some(name => /CausalLM|LMHead|^GPT/.test(name)) ||
      inputs.some(i => /^past/.test(i.name)),
    headSize: first('head_dim', 'd_kv', 'kv_channels') ?? (heads && width ? width / heads : null),
    kvHeads: first('num_key_value_heads', 'num_kv_heads', 'n_head_kv') ?? heads,
    positions: positionsOf(text),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
