/** How a model that takes positions as an input counts them. */
export interface Positions {
  /** The first token's. */
  first: number;
  /** RoBERTa's kin leave tokens of padding at this number, and do not count them. */
  padding: number | null;
  /** The family is one whose counting is known. */
  known: boolean;
}

/** Positions count the tokens that are no padding, from the padding id + 1 on. */
const AFTER_PADDING =
  /^(xlm-|x)?(roberta(-prelayernorm|-xl)?|mod)$|^(camembert|longformer|mpnet|ibert|esm|data2vec-text|luke|mluke|layoutlmv3|lilt|markuplm|bridgetower.*|clap.*|altclip.*|kosmos-2.*)$/;
/** Positions count from 2 on; the first two rows of the table are never read. */
const FROM_TWO = /^(nystromformer|yoso|mra)$/;
/** Everything else that Hugging Face's Transformers names counts from 0; these families were looked up. */
const FROM_ZERO =
  /bert|gpt|llama|mi[sx]tral|qwen|phi|gemma|falcon|bloom|opt|mpt|bart|t5|electra|ernie|big_?bird|convbert|funnel|xlnet|xlm|codegen|stablelm|starcoder|olmo|cohere|granite|smollm|nemotron|persimmon|deepseek|glm|exaone|internlm|baichuan|yi|ctrl|biogpt|layoutlm|rembert|roformer|fnet|squeezebert|flaubert|nezha|splinter|tapas|visual_bert|lfm|mamba|jamba|pegasus|marian|m2m|prophetnet|xglm/;

/** By the family that config.json names; how the graph counts inside itself needs no answer. */
export function positionsOf(config: Readonly<Record<string, unknown>>): Positions {
  const family = typeof config['model_type'] === 'string' ? config['model_type'].toLowerCase() : '';
  const named = typeof config['pad_token_id'] === 'number' ? config['pad_token_id'] : null;
  if (AFTER_PADDING.test(family)) {
    const padding = named ?? 1;
    return { first: padding + 1, padding, known: true };
  }
  if (FROM_TWO.test(family)) return { first: 2, padding: null, known: true };
  return { first: 0, padding: null, known: FROM_ZERO.test(family) };
}

/** One position per token. */
export function countPositions(ids: Int32Array, { first, padding }: Positions): number[] {
  let next = first;
  return Array.from(ids, id => (id === padding ? padding : next++));
}

/** What is assumed of an input of positions (null = there is none), as a sentence for people; null = nothing. */
export function assumedPositions(input: string | null, { known }: Positions): string | null {
  if (input === null || known) return null;
  return `The model takes positions as an input (${input}) and its family is not known: they were counted from 0.`;
}
