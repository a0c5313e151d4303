import { RefusedError, told, UsageError } from '../errors';
import { readParams, settingOf } from './parameters';
import type { Tensor } from '../runtime/tensor';
import { float32, floats } from '../runtime/tensor';
import type { CoreInput, NativeAttention, NativePart } from './core';
import { someHeads } from './kernels/subset';
import type { AttendContext, Attended, Mechanism } from './mechanism';
import { refusesTensors } from './ownTensors';
import { findMechanism, mechanisms } from './registry';
import type { MechanismParams } from '../../shared/protocol/engine';

/** A mechanism that a model was made with, as its file says it. */
export interface NativeSpec {
  name: string;
  /** Settings of the mechanism; those that differ by head stand among the tensors. */
  params: Readonly<Record<string, number>>;
  /** Names of the learned tensors that come with each text. */
  tensors: readonly string[];
}

/** Some heads of a core under one setting. */
interface Part {
  heads: number[];
  mechanism: Mechanism;
  params: MechanismParams;
  own: Record<string, Tensor>;
}

/** What a file says of any mechanism; the rule of the core has it. */
const OF_RULE = new Set(['scale', 'causal', 'turnedKeys']);

/** The key of the setting that this mechanism is; null where heads differ in it. */
export function keyOfNative(spec: NativeSpec): string | null {
  const { info, tensors = {} } = findMechanism(spec.name);
  const known = new Set(info.parameters.map(p => p.name));
  if (spec.tensors.some(name => !(name in tensors) && known.has(name))) return null;
  const given = Object.entries(settingsOf(spec)).filter(([name]) => known.has(name));
  return ofModel(() => settingOf(info, Object.fromEntries(given)).key);
}

/** What is wrong with a setting is the model's fault here, not the user's. */
function ofModel<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new RefusedError(
      told`The model was made with attention that there cannot be: ${error.message.replace(/\.$/, '')}.`,
    );
  }
}

/** The settings without what the rule of the core has. */
export function settingsOf({ name, params }: NativeSpec): MechanismParams {
  const given = Object.fromEntries(Object.entries(params).filter(([key]) => !OF_RULE.has(key)));
  return asMade(findMechanism(name), given);
}

/** Why no mechanism of ours can stand for this one, or null. */
export function refusesNative({ name, params, tensors }: NativeSpec): string | null {
  const mechanism = mechanisms.find(m => m.info.name === name);
  if (!mechanism)
    return told`The model was made with attention of the kind "${name}", which is none of ours.`;
  const known = new Set([
    ...mechanism.info.parameters.map(p => p.name),
    ...Object.keys(mechanism.tensors ?? {}),
    ...OF_RULE,
  ]);
  const other = [...Object.keys(params), ...tensors].find(key => !known.has(key));
  if (other === undefined) return null;
  return told`The model was made with "${name}" attention that is told by "${other}", of which our ${name} knows nothing.`;
}

/** The native attention of one core: its own output, and the map that views and measures look at. */
export async function attendNative(
  input: CoreInput,
  spec: NativeSpec,
  tensors: Readonly<Record<string, Tensor>>,
  context: Pick<AttendContext, 'runtime' | 'signal'>,
): Promise<NativeAttention> {
  const parts = ofModel(() => partsOf(input, spec, squeezed(spec, tensors)));
  const run = async (core: CoreInput): Promise<NativePart[]> => {
    const ran: NativePart[] = [];
    for (const { heads, mechanism, params, own } of parts) {
      const some = someHeads(core, heads);
      const attended = await mechanism.attend(some, params, { ...context, own });
      ran.push({ heads, mechanism: mechanism.info.name, attended, own });
    }
    return ran;
  };
  for (const { heads, mechanism, params, own } of parts) {
    const some = someHeads(input, heads);
    const reason =
      mechanism.refuses?.(some, params) ?? refusesTensors(mechanism.tensors ?? {}, own, some, {});
    if (reason) throw new RefusedError(reason);
  }
  const ran = await run(input);
  let map: CoreInput | null = null;
  return {
    setting: keyOfNative(spec),
    attended: together(input, ran),
    map: () => (map ??= mapOf(input, ran)),
    partOf: head => ran.find(part => part.heads.includes(head))!,
    tied: parts.flatMap(({ heads, mechanism, params }) => (mechanism.tiesKeys?.(params) ? heads : [])),
    ...(parts.some(({ mechanism }) => mechanism.beyondMap) && {
      without: async blocked =>
        together(input, await run({ ...input, rule: { ...input.rule, blocked } })).output,
    }),
  };
}

/** The parts as one run over all heads. */
function together({ heads, queries, valueDim }: CoreInput, parts: readonly NativePart[]): Attended {
  const [only] = parts;
  if (only && parts.length === 1) return only.attended;
  const place = Array.from({ length: heads }, (_, head) => {
    const { attended, heads: own } = parts.find(part => part.heads.includes(head))!;
    return { attended, at: own.indexOf(head) };
  });
  const planes = (size: number, of: (attended: Attended) => Float32Array) => {
    const all = new Float32Array(heads * size);
    place.forEach(({ attended, at }, head) =>
      all.set(of(attended).subarray(at * size, (at + 1) * size), head * size),
    );
    return all;
  };
  return {
    output: planes(queries * valueDim, ({ output }) => output),
    lse: parts.every(({ attended }) => attended.lse) ? planes(queries, ({ lse }) => lse!) : null,
    ...(parts.some(({ attended }) => attended.reweighted) && { reweighted: true }),
    pairs: Float64Array.from(place, ({ attended, at }) => attended.pairs[at]!),
    row: (head, query) => place[head]!.attended.row(place[head]!.at, query),
    extra: {},
  };
}

/** Files write [heads, 1, 1] where the mechanism has one number for each head. */
function squeezed({ name }: NativeSpec, tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const schema = findMechanism(name).tensors ?? {};
  return Object.fromEntries(
    Object.entries(tensors).map(([key, tensor]) => {
      const rank = schema[key]?.dims.length ?? 1;
      const extra = tensor.dims.length - rank;
      if (extra <= 0) return [key, tensor];
      // The batch first: a text of few tokens has one slot, and keeps it.
      const ones = tensor.dims.flatMap((d, axis) => (d === 1 ? [axis] : [])).slice(0, extra);
      return [key, { ...tensor, dims: tensor.dims.filter((_, axis) => !ones.includes(axis)) }];
    }),
  );
}

/** The heads by the settings that they have: one part for all, or one for each. */
function partsOf(
  input: CoreInput,
  { name, params }: NativeSpec,
  tensors: Readonly<Record<string, Tensor>>,
): Part[] {
  const mechanism = findMechanism(name);
  const all = Array.from({ length: input.heads }, (_, head) => head);
  const given = Object.fromEntries(Object.entries(params).filter(([key]) => !OF_RULE.has(key)));
  const parameters = new Set(mechanism.info.parameters.map(p => p.name));
  const schema = mechanism.tensors ?? {};
  const own = Object.fromEntries(Object.entries(tensors).filter(([key]) => key in schema));
  const perHead = Object.entries(tensors).filter(([key]) => !(key in schema) && parameters.has(key));
  if (perHead.length > 0)
    return all.map(head => {
      const values = perHead.map(([key, tensor]) => [key, floats(tensor)[head]!] as const);
      const params = readParams(
        mechanism.info,
        asMade(mechanism, { ...given, ...Object.fromEntries(values) }),
      );
      return { heads: [head], mechanism, params, own: ofHeads(own, schema, [head]) };
    });
  // The first so many heads have a window, the others what is learned.
  const { localHeads = 0, localWindow, ...rest } = given;
  if (name !== 'routing' || localHeads === 0)
    return [{ heads: all, mechanism, params: readParams(mechanism.info, asMade(mechanism, given)), own }];
  const local = findMechanism('local');
  return [
    {
      heads: all.slice(0, localHeads),
      mechanism: local,
      params: readParams(local.info, { window: localWindow! }),
      own: {},
    },
    {
      heads: all.slice(localHeads),
      mechanism,
      params: readParams(mechanism.info, asMade(mechanism, rest)),
      own,
    },
  ];
}

/** The settings as the mechanism takes them: ONNX has no attributes that are true or false, and no words. */
const asMade = ({ info, madeWith }: Mechanism, given: Readonly<Record<string, number>>): MechanismParams => ({
  ...Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      const { type } = info.parameters.find(p => p.name === key) ?? {};
      return [key, type === 'boolean' ? value !== 0 : value];
    }),
  ),
  ...madeWith,
});

/** Of tensors with an axis of heads the planes of these. */
function ofHeads(
  own: Readonly<Record<string, Tensor>>,
  schema: NonNullable<Mechanism['tensors']>,
  heads: readonly number[],
): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(own).map(([name, tensor]) => {
      if (schema[name]!.dims[0] !== 'heads') return [name, tensor];
      const data = floats(tensor);
      const size = data.length / tensor.dims[0]!;
      const planes = heads.flatMap(head => Array.from(data.subarray(head * size, (head + 1) * size)));
      return [name, float32(Float32Array.from(planes), [heads.length, ...tensor.dims.slice(1)])];
    }),
  );
}

/**
 * A softmax core with the same probabilities: their logarithm is its bias, and the scores count nothing. Quadratic, so it is made
 * for those only that look at the map. What has no logarithm, negative weights (shaped), shows the softmax in it.
 */
function mapOf(input: CoreInput, parts: readonly NativePart[]): CoreInput {
  const { heads, queries, keys, rule } = input;
  if (parts.some(part => findMechanism(part.mechanism).beyondMap === 'softmax')) return input;
  const data = new Float32Array(heads * queries * keys).fill(-Infinity);
  for (const { heads: own, attended } of parts)
    for (const [at, head] of own.entries())
      for (let i = 0; i < queries; i++) {
        const { keys: seen, weights } = attended.row(at, i);
        const row = (head * queries + i) * keys;
        for (let t = 0; t < seen.length; t++)
          if (seen[t]! < keys) data[row + seen[t]!] = Math.log(weights[t]!);
      }
  return {
    ...input,
    rule: {
      ...rule,
      scale: new Float32Array(heads),
      softCap: null,
      bias: { kind: 'opaque', heads, data },
    },
  };
}
