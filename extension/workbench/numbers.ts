/** Numbers as the interface writes them: at most three significant digits, units always. */

/** 3.14159 -> "3.14", 0.0001 -> "0.0001". */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return String(Number(value.toPrecision(3)));
}

/** A share of 1 as a percentage: 0.93142 -> "93.1 %". */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return '< 0.05 %';
  return `${short(share * 100)} %`;
}

/** A signed change: 0.0213 -> "+0.0213". */
export function signed(value: number): string {
  return `${value > 0 ? '+' : value < 0 ? '−' : ''}${short(Math.abs(value))}`;
}
