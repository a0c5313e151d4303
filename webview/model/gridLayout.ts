/** How large the cells of a grid of layers x heads are, and beside how many others its layers stand. */
export interface GridLayout {
  /** The layers stand in so many grids side by side. */
  parts: number;
  /** Width of the plot beside the layers; 0 = there is no room for it. */
  strip: number;
  cell: number;
}

const LARGEST = 112;
const SMALLEST = 26;
const MOST_PARTS = 3;
const [NARROWEST_STRIP, WIDEST_STRIP, ROOMIEST_STRIP] = [150, 300, 640];
/** Between the parts, as in the style sheet. */
const GAP = 24;
/** What stands above and below the grid. */
const AROUND = 210;
/** A grid in one piece is easier to read: another part must make the cells larger by so much. */
const WORTH = 1.15;

/** The largest cells with which all layers are seen at once: many layers of few heads stand side by side where there is room. */
export function gridLayout(
  { layers, columns }: { layers: number; columns: number },
  { width, height }: { width: number; height: number },
): GridLayout {
  const layout = (parts: number): GridLayout => {
    const each = (width - (parts - 1) * GAP) / parts;
    const [names, wished] = each > 700 ? [100, Math.max(NARROWEST_STRIP, each * 0.24)] : [78, 0];
    const wide = (each - names - Math.min(WIDEST_STRIP, wished)) / columns;
    const tall = (height - AROUND) / Math.ceil(layers / parts) - 6;
    const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor(Math.min(wide, tall)) - 4));
    const left = each - names - columns * (cell + 4);
    // What the cells leave over is the plot's, whose dots lie close together.
    const strip = Math.min(ROOMIEST_STRIP, Math.max(left, Math.min(WIDEST_STRIP, wished)));
    return { parts, strip: strip >= NARROWEST_STRIP ? strip : 0, cell };
  };
  let best = layout(1);
  for (let parts = 2; parts <= Math.min(MOST_PARTS, layers); parts++) {
    const other = layout(parts);
    if (other.cell > WORTH * best.cell) best = other;
  }
  return best;
}

/** In the same order, as evenly as they go. */
export function inParts<T>(rows: readonly T[], parts: number): T[][] {
  const each = Math.ceil(rows.length / parts);
  return Array.from({ length: Math.ceil(rows.length / each) }, (_, at) =>
    rows.slice(at * each, (at + 1) * each),
  );
}
