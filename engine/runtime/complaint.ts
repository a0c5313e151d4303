import { OutOfMemoryError, RefusedError, told } from '../errors';

const OF_MEMORY = /bad_alloc|Failed to allocate memory|out of memory/i;

/** What ONNX Runtime's messages mean, as clauses of our sentences; its own words name ports and source files. */
const MEANINGS: [pattern: RegExp, clause: (found: RegExpExecArray) => string][] = [
  [OF_MEMORY, () => 'there is not enough memory'],
  [
    /Unsupported model IR version: (\d+)/,
    ([, n]) => `its file format (IR version ${n}) is newer than this ONNX Runtime`,
  ],
  [
    /Opset (\d+) is under development|domain ai\.onnx.* till opset (\d+)/i,
    ([, a, b]) => `its operators (opset ${a ?? b}) are newer than this ONNX Runtime`,
  ],
  [
    /No Op registered for (\w+)|(\w+)\(-?\d+\) is not a registered function\/op|Could not find an implementation for (\w+)/,
    ([, a, b, c]) => `this ONNX Runtime has no operator ${a ?? b ?? c} for such tensors on the CPU`,
  ],
  [
    /Invalid rank for input: \S+ Got: (\d+) Expected: (\d+)/,
    ([, got, wanted]) => `one of its inputs takes ${wanted} axes, and the inspector gives ${got}`,
  ],
  [/Got invalid dimensions for input/, () => 'one of its inputs has a fixed size that does not fit the text'],
  [
    /Unexpected input data type/,
    () => 'one of its inputs takes another element type than the inspector gives',
  ],
  [/Missing Input/, () => 'one of its inputs is not given'],
  [
    /element out of data bounds|index .*out of (range|bounds)/,
    () => 'the text is longer than one of its tables, or has token ids beyond its vocabulary',
  ],
  [
    /Type Error|type inference failed|does not match expected type|Type parameter/i,
    () => 'the element types of its tensors do not fit together',
  ],
  [
    /ShapeInferenceError|Incompatible dimensions|[Mm]ismatch(ed)? .*dimension|cannot be broadcast|cannot broadcast/,
    () => 'the shapes of its tensors do not fit together',
  ],
  [/external data|weight file|model_external/i, () => 'its weights cannot be read'],
  [/Protobuf parsing failed|INVALID_PROTOBUF/, () => 'the file is damaged'],
  [
    /while running TopK node.*k argument \[(\d+)\] should not be greater than specified axis dim value \[(\d+)\]/s,
    ([, k, size]) =>
      `its operator TopK takes ${k} of what are only ${size} in a short text: it runs on no text of fewer than ${k} tokens, and the proof needs short ones; export it with no more than the text has`,
  ],
  [/while running (\w+) node/, ([, op]) => `its operator ${op} fails`],
  [
    /Unrecognized attribute: (\w+) for operator (\w+)/,
    ([, name, op]) => `this ONNX Runtime does not know the setting ${name} of the operator ${op}`,
  ],
  [/invalid (attribute|model)|INVALID_GRAPH|not a valid model/i, () => 'its graph is not valid'],
];

/** Whether ONNX Runtime failed while a model ran. */
export const isRunError = (error: unknown): boolean =>
  error instanceof Error && /Non-zero status code|ONNXRuntimeError/.test(error.message);

/** A refusal that says in our words what ONNX Runtime complains of; its own words are the cause. */
export function refusedByRuntime(what: 'load' | 'run', error: unknown): RefusedError {
  const message = error instanceof Error ? error.message : String(error);
  const clause = MEANINGS.flatMap(([pattern, clause]) => {
    const found = pattern.exec(message);
    return found ? [clause(found)] : [];
  })[0];
  const does = what === 'load' ? 'does not load' : 'cannot run';
  const reason = clause === undefined ? '' : `: ${clause}`;
  const Refusal = OF_MEMORY.test(message) ? OutOfMemoryError : RefusedError;
  return new Refusal(told`ONNX Runtime ${does} the model${reason}.`, { cause: error });
}

/** A damaged model may load and fail only when it runs: ONNX Runtime's complaint, as a refusal. */
export function refusalOf(error: unknown): unknown {
  if (error instanceof RefusedError) return error;
  return isRunError(error) ? refusedByRuntime('run', error) : error;
}
