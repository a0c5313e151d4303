import { dirname, join } from 'node:path';
import { RefusedError, told } from '../../errors';
import { parseJsonObject } from '../tokens/json';
import { readOwn } from '../tokens/ownFile';

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
