/** How the picture of all spans, a column for each layer with its heads side by side, is laid out where there are many heads. */

export interface HeadGrid {
  layers: number;
  /** Of the layer that has most. */
  heads: number;
}

export const gridOf = (cores: readonly { heads: readonly unknown[] }[]): HeadGrid => ({
  layers: cores.length,
  heads: Math.max(1, ...cores.map(({ heads }) => heads.length)),
});

/** Pixels of a head, under which neighbours run into each other. */
const LEAST = 4.5;
/** Between two columns, as a share of the step from one to the next. */
export const COLUMN_GAP = 0.12;
export const SIDES = { left: 46, right: 6 };
/** Heights of a line: where it is the only one, and where there are several. */
const [ONLY, ONE_OF_SEVERAL] = [380, 230];

export interface SpanLines {
  /** Columns of a line. */
  columns: number;
  lines: number;
  /** Height of a line, with its axis. */
  height: number;
}

/** Layers stand side by side as long as their heads can be told apart; further ones in lines below, as evenly as they go. */
export function spanLines({ layers, heads }: HeadGrid, width: number): SpanLines {
  const plot = (width - SIDES.left - SIDES.right) * (1 - COLUMN_GAP);
  const fitting = Math.max(1, Math.floor(plot / (LEAST * heads)));
  const lines = Math.ceil(layers / fitting);
  return { columns: Math.ceil(layers / lines), lines, height: lines > 1 ? ONE_OF_SEVERAL : ONLY };
}
