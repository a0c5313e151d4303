/** What the user writes for a model. The engine has the last word on what a reference means. */
import * as path from 'node:path';

/** `org/name` of the hub, with a revision if wanted. */
const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w.-]+)?$/;
/** One .onnx file of a hub model: `org/name/onnx/model_int8.onnx`. */
const HUB_FILE = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w.-]+)?\/(onnx\/)?[\w-][\w.-]*\.onnx$/;

/** The id of a hub model in what was typed or pasted (its page's address, too), or null when it is none. */
export function hubId(typed: string): string | null {
  const id = typed
    .trim()
    .replace(/^https:\/\/(www\.)?huggingface\.co\//, '')
    .replace(/\/+$/, '');
  return HUB_ID.test(id) && !id.endsWith('.onnx') ? id : null;
}

/** Precision by the names that exporters give to the variants of a model; the rest of the name is the part it holds. */
const PRECISIONS: [suffix: RegExp, precision: string][] = [
  [/_q4f16$/, '4-bit weights, float16'],
  [/_fp16$/, 'float16'],
  [/_bf16$/, 'bfloat16'],
  [/_(q4|bnb4|int4)$/, '4-bit weights'],
  [/_(int8|uint8|q8|quantized)$/, '8-bit'],
];

/** The precision that a variant's file name tells, or null: then it is as the model was exported. */
export function precisionOf(file: string): string | null {
  const stem = path.posix.basename(file, '.onnx');
  return PRECISIONS.find(([suffix]) => suffix.test(stem))?.[1] ?? null;
}

/** Where relative references start, and what there is. */
export interface Disk {
  /** The first workspace folder, or null. */
  folder: string | null;
  home: string;
  exists(path: string): boolean;
}

/**
 * The reference as the engine takes it: `~` is the home folder, relative paths start at the workspace folder. What exists
 * on the disk wins over a model of the hub with the same name; what may as well be one file of a hub model is a path only
 * where there is such a file.
 */
export function absoluteRef(ref: string, { folder, home, exists }: Disk): string {
  if (ref.startsWith('~/')) return path.join(home, ref.slice(2));
  if (folder === null || path.isAbsolute(ref) || ref === 'bundled') return ref;
  const found = path.join(folder, ref);
  if (exists(found)) return found;
  const isPath = ref.startsWith('.') || (ref.endsWith('.onnx') && !HUB_FILE.test(ref));
  return isPath ? found : ref;
}

/** What was typed instead of choosing from a list, if it can be a model: a path, whatever is on the disk, or a hub id. */
export function typedRef(typed: string, disk: Disk): string | null {
  const text = typed.trim();
  if (!text) return null;
  const isPath = /^(\.{1,2}[\\/]|~?\/|[A-Za-z]:[\\/])|\.onnx$/.test(text);
  if (isPath || disk.exists(absoluteRef(text, disk))) return text;
  return hubId(text);
}
