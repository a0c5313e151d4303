import { dirname, join } from 'node:path';
import { RefusedError, told } from '../../errors';
import { parseJsonObject } from '../tokens/json';
import { readOwn } from '../tokens/ownFile';
import type { Pooling } from '../../../shared/protocol/models';

type Config = Record<string, unknown>;

const LIMIT = 4 * 2 ** 20;

/** The folder's `config.json`, or what `genai_config.json` (onnxruntime-genai) says in its place; {} without either. */
export async function readConfig(folder: string): Promise<Config> {
  const config = await readObject(folder, 'config.json');
  if (config) return config;
  const genai = await readObject(folder, 'genai_config.json');
  return genai ? fromGenai(genai) : {};
}

/** What `attention.json` declares (docs/native.md), in the model's folder or beside its file; nothing without one. */
export async function readAttention(folder: string, onnx: string): Promise<{ attention?: Config }> {
  for (const place of [folder, dirname(onnx)]) {
    const attention = await readObject(place, 'attention.json');
    if (attention) return { attention };
  }
  return {};
}

/** Where sentence-transformers keep how the rows of the output become one embedding. */
export const POOLING_FILE = '1_Pooling/config.json';

/** What that file says; `other` for a way that is none of ours, nothing without one. */
export async function readPooling(folder: string): Promise<{ pooling?: Pooling | 'other' }> {
  const said = await readObject(folder, POOLING_FILE);
  return said ? { pooling: poolingOf(said) } : {};
}

/** Older files have a flag for each way, of which several may be set; newer ones name it. Directions of `mean_sqrt_len` are those of the mean. */
function poolingOf(said: Config): Pooling | 'other' {
  const flags = Object.keys(said).filter(key => key.startsWith('pooling_mode_') && said[key] === true);
  const named = said['pooling_mode'];
  const ways = typeof named === 'string' ? [named] : flags.map(flag => flag.slice('pooling_mode_'.length));
  return (ways.length === 1 && WAYS[ways[0]!]) || 'other';
}

const WAYS: Readonly<Record<string, Pooling | undefined>> = {
  mean: 'mean',
  mean_tokens: 'mean',
  mean_sqrt_len_tokens: 'mean',
  cls: 'first',
  cls_token: 'first',
  lasttoken: 'last',
};

async function readObject(folder: string, name: string): Promise<Config | null> {
  const text = await readOwn(folder, name, LIMIT);
  if (text === null) return null;
  const config = parseJsonObject(text);
  if (!config) throw new RefusedError(told`${join(folder, name)} is not a valid model configuration.`);
  return config;
}

/** The same facts under the names of config.json. */
function fromGenai(genai: Config): Config {
  const record = (value: unknown) => (typeof value === 'object' && value !== null ? (value as Config) : {});
  const model = record(genai['model']);
  const decoder = record(model['decoder']);
  const facts: Config = {
    model_type: model['type'],
    vocab_size: model['vocab_size'],
    max_position_embeddings: model['context_length'],
    bos_token_id: model['bos_token_id'],
    eos_token_id: model['eos_token_id'],
    pad_token_id: model['pad_token_id'],
    head_dim: decoder['head_size'],
    hidden_size: decoder['hidden_size'],
    num_attention_heads: decoder['num_attention_heads'],
    num_hidden_layers: decoder['num_hidden_layers'],
    num_key_value_heads: decoder['num_key_value_heads'],
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}
