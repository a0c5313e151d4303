/** Roundings of an HTML report. Each keeps zero as zero. */
import { KEPT_CODES, type MassCodes } from '../../shared/reportData';

export function massCodes(mass: Float32Array): MassCodes {
  let largest = 0;
  for (const value of mass) if (value > largest) largest = value;
  const codes = new Uint8Array(mass.length);
  if (largest > 0) for (let i = 0; i < mass.length; i++) codes[i] = rootCode(mass[i]! / largest, 255);
  return { largest, codes };
}

/** The square root of a share as a whole number up to `most`. */
export function rootCode(share: number, most: number): number {
  return Math.round(Math.sqrt(Math.max(0, Math.min(1, share))) * most);
}

/** Shares kept; a share strictly between 0 and 1 stays so. */
export function keptCodes(kept: Float32Array): Uint8Array {
  const codes = new Uint8Array(kept.length);
  for (let i = 0; i < kept.length; i++) codes[i] = keptCode(kept[i]!);
  return codes;
}

function keptCode(share: number): number {
  if (share <= 0.001) return 0;
  if (share >= 0.999) return KEPT_CODES;
  return Math.max(1, Math.min(KEPT_CODES - 1, Math.round(share * KEPT_CODES)));
}

/** Floats with the last 13 bits of their mantissa cleared (three digits stay): what is left compresses. */
export function roundedFloats(values: Float32Array): Float32Array {
  const result = Float32Array.from(values);
  const bits = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = ((bits[i]! + 0x1000) & ~0x1fff) >>> 0;
  return result;
}

/** Points in one byte per coordinate. */
export function pointCodes(points: Float32Array, extent: number): Int8Array {
  return Int8Array.from(points, value => Math.round((value / Math.max(extent, 1e-12)) * 127));
}

/** Indices up to `most` in as few bytes as they need. */
export function indexArray(length: number, most: number): Uint16Array | Uint32Array {
  return most < 65536 ? new Uint16Array(length) : new Uint32Array(length);
}
