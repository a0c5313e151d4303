import { mechanismInfos } from '../../engine/attention/registry';
import type { PlanFile, PlanFileHead } from '../../engine/export/planJson';
import { toCss, type ThemeColours } from '../../webview/draw/colour';
import { mechanismLook } from '../../webview/model/mechanismLook';

const [WIDTH, HEIGHT, GAP] = [31, 27, 1];
/** Room for the names of heads on the left, and of layers above. */
const [LEFT, TOP] = [28, 24];
const PAPER: Pick<ThemeColours, 'background' | 'foreground'> = {
  ...{ background: [255, 255, 255], foreground: [51, 51, 51] },
};

/** A plan as a picture: a column for each layer, a row for each head, its mechanism in colour and word, and what share of its pairs it spends. */
export function planPicture({ heads }: PlanFile): string {
  const [layers, rows] = [count(heads.map(({ layer }) => layer)), count(heads.map(({ head }) => head))];
  const text = (x: number, y: number, words: string | number, more = '') =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="middle"${more}>${words}</text>`;
  const columns = Array.from({ length: layers }, (_, layer) =>
    text(LEFT + (layer + 0.5) * WIDTH, TOP - 8, layer, ' class="axis"'),
  );
  const lines = Array.from({ length: rows }, (_, head) =>
    text(LEFT - 14, TOP + (head + 0.5) * HEIGHT + 4, head, ' class="axis"'),
  );
  const cells = heads.map(({ layer, head, mechanism, pairs, densePairs }: PlanFileHead) => {
    const { fill, text: ink, label } = mechanismLook(mechanism, mechanismInfos, PAPER);
    const [x, y] = [LEFT + layer * WIDTH, TOP + head * HEIGHT];
    const share = `${((100 * pairs) / densePairs).toPrecision(2)} %`;
    const box = `<rect x="${x}" y="${y}" width="${WIDTH - GAP}" height="${HEIGHT - GAP}" fill="${toCss(fill)}"/>`;
    const middle = x + (WIDTH - GAP) / 2;
    const own = ` fill="${toCss(ink)}"`;
    return `<g><title>${layer}.${head}: ${mechanism}, ${share}</title>${box}${text(middle, y + 11, label, own)}${text(middle, y + 21, share, own)}</g>`;
  });
  const size = `0 0 ${LEFT + layers * WIDTH + 4} ${TOP + rows * HEIGHT + 4}`;
  const style =
    'text{font:8px sans-serif}.axis{font-size:11px;fill:#555}@media(prefers-color-scheme:dark){.axis{fill:#bbb}}';
  const label = 'The plan: a column for each layer, a row for each head';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${size}" role="img" aria-label="${label}"><style>${style}</style>${[...columns, ...lines, ...cells].join('')}</svg>\n`;
}

const count = (indices: readonly number[]): number => Math.max(...indices) + 1;
