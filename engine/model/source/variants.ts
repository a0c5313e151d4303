/** Which of the .onnx files of one model to take. */
import { basename, dirname } from 'node:path';

/** Names that exporters give to the whole model, then its parts, each best first. */
const STEMS = ['model', 'decoder_model', 'decoder_model_merged', 'encoder_model'];
/** Variants, the most exact first: the analysis should show the model, not its rounding. */
const VARIANTS = ['', '_fp16', '_quantized', '_int8', '_uint8', '_q8', '_q4', '_q4f16', '_bnb4'];

/** The file to analyse among those of one model: the most complete, then the most exact; null when that is unclear. */
export function chooseOnnx(files: readonly string[]): string | null {
  if (files.length === 1) return files[0]!;
  for (const stem of STEMS) {
    for (const variant of VARIANTS) {
      const found = files.find(file => basename(file) === `${stem}${variant}.onnx`);
      if (found !== undefined) return found;
    }
  }
  return null;
}

/** The file of the embeddings that lies beside a model: of the same variant, or else the exact one; null = none. */
export function embeddingOf(onnx: string, files: readonly string[]): string | null {
  const [, variant = ''] =
    /^[a-z_]*?((?:_(?:fp16|quantized|int8|uint8|q8|q4|q4f16|bnb4))?)\.onnx$/.exec(basename(onnx)) ?? [];
  return besideOf('embed_tokens', variant, onnx, files);
}

/** The encoder's file that belongs to a decoder's: of the same variant, or else the exact one; null = none. */
export function encoderOf(decoder: string, files: readonly string[]): string | null {
  const [, variant] = /^decoder_model(?:_merged)?((?:_[a-z0-9]+)?)\.onnx$/.exec(basename(decoder)) ?? [];
  if (variant === undefined) return null;
  return besideOf('encoder_model', variant, decoder, files);
}

function besideOf(stem: string, variant: string, onnx: string, files: readonly string[]): string | null {
  for (const suffix of [variant, '']) {
    const name = `${stem}${suffix}.onnx`;
    const found = files.find(file => basename(file) === name && dirname(file) === dirname(onnx));
    if (found !== undefined && found !== onnx) return found;
  }
  return null;
}
