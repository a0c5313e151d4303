import { CUT_DOMAIN } from './cutGraph';
import type { Extract, Graph } from '../onnx/graph';
import { reads } from '../onnx/node';
import { rowReads } from './rowwise';
import type { TokenAxes } from './tokenAxes';

/** A piece of the model that can be run on some rows of the text after the other. */
export interface RowPiece {
  /** What rows need of the whole text, computed once: positions, tables by position. Null = nothing. */
  whole: Extract | null;
  rows: Extract | null;
  /** Token axis of what `rows` reads and gives; all else is given as it is. */
  axes: ReadonlyMap<string, number>;
  /** Elements per token of the widest tensor inside. */
  widest: number;
}

/** Elements per token that what is computed of the whole text may have. */
const NARROW = 1024;

/**
 * `constant`: no matter which rows. `length`: numbers that only follow from the number of rows. `rows`: each row follows
 * from the same row of what the piece reads. `whole`: needs the whole text.
 */
type Kind = 'constant' | 'length' | 'rows' | 'whole';

/**
 * The same piece for blocks of rows; null where its rows are mixed by more than what is narrow enough to be computed of the
 * whole text first.
 */
export function rowPiece(graph: Graph, piece: Extract, axes: TokenAxes): RowPiece | null {
  const kinds = new Map<string, Kind>();
  const narrow = new Set<string>();
  const inputs = new Set<number>();
  for (const name of piece.inputs) {
    const found = axes.get(name);
    if (!found) return null;
    if (found.axis !== null) inputs.add(found.input);
    kinds.set(name, found.axis === null ? 'constant' : 'rows');
    if (found.axis === null || found.width <= NARROW) narrow.add(name);
  }
  if (inputs.size !== 1) return null;
  const kindOf = (name: string): Kind => kinds.get(name) ?? 'constant';
  const shapesOnly = new Set<string>();
  const wanted = new Set<string>();
  let widest = 1;
  for (const node of piece.nodes) {
    if (node.domain === CUT_DOMAIN) return null;
    const read = reads(node);
    const made = node.outputs.filter(name => name !== '');
    const set = (kind: Kind) => made.forEach(name => kinds.set(name, kind));
    if (read.every(name => kindOf(name) === 'constant')) {
      set('constant');
      continue;
    }
    const isNarrow =
      read.every(name => kindOf(name) === 'constant' || narrow.has(name)) &&
      made.every(name => (axes.get(name)?.width ?? Infinity) <= NARROW);
    if (isNarrow) made.forEach(name => narrow.add(name));
    const grows = made.some(name => axes.get(name)?.axis !== null);
    if (!grows && (node.op === 'Shape' || read.every(name => /constant|length/.test(kindOf(name))))) {
      made.forEach(name => narrow.add(name));
      set('length');
      continue;
    }
    const rows = rowReads(node, graph, axes);
    if (rows) {
      for (const name of rows.values) if (/length|whole/.test(kindOf(name))) wanted.add(name);
      for (const name of rows.shapes) shapesOnly.add(name);
      if (rows.shapes.every(name => /constant|length/.test(kindOf(name)))) {
        widest = Math.max(widest, ...made.map(name => axes.get(name)!.width));
        set('rows');
        continue;
      }
    }
    if (!isNarrow) return null;
    set('whole');
  }
  const ofAll = piece.outputs.filter(name => kindOf(name) !== 'rows');
  const rowOutputs = piece.outputs.filter(name => kindOf(name) === 'rows');
  const given = new Set(piece.inputs);
  const rows =
    rowOutputs.length === 0 ? null : graph.extract(rowOutputs, name => given.has(name) || wanted.has(name));
  const used = new Set(rows?.inputs);
  const first = [...new Set([...ofAll, ...[...wanted].filter(name => used.has(name))])];
  // A length that rows read as a number is that of the whole text, and as a shape that of the block.
  const lengths = graph.reachable(first.filter(name => kindOf(name) === 'length'));
  if ([...shapesOnly].some(name => lengths.has(name))) return null;
  if (first.some(name => !narrow.has(name) && kindOf(name) !== 'constant')) return null;
  const tokenAxis = new Map<string, number>();
  for (const name of [...used, ...rowOutputs]) {
    const axis = axes.get(name)?.axis;
    if (axis !== undefined && axis !== null) tokenAxis.set(name, axis);
  }
  return {
    whole: first.length === 0 ? null : graph.extract(first, name => given.has(name)),
    rows,
    axes: tokenAxis,
    widest,
  };
}
