/** Values with their intervals as an SVG, a panel for each group: for docs. */

interface Row {
  label: string;
  value: number;
  interval: { low: number; high: number } | null;
  /** #rrggbb; null = grey. */
  hue: string | null;
}

const WIDTH = 720;
const LABEL = 170;
const ROW = 20;
const MARGIN = 16;

export function intervalFigure(panels: { title: string; rows: readonly Row[] }[], axis: string): string {
  const all = panels.flatMap(({ rows }) =>
    rows.flatMap(({ value, interval }) => [value, interval?.low ?? value, interval?.high ?? value]),
  );
  const [low, high] = [Math.min(0, ...all), Math.max(...all)];
  const x = (value: number) => LABEL + ((value - low) / (high - low || 1)) * (WIDTH - LABEL - MARGIN);
  const parts: string[] = [];
  let y = MARGIN;
  for (const { title, rows } of panels) {
    parts.push(`<text x="${MARGIN}" y="${y + 4}" class="title">${title}</text>`);
    const top = (y += 14);
    for (const { label, value, interval, hue } of rows) {
      y += ROW;
      const colour = hue ?? '#888';
      parts.push(`<text x="${LABEL - 8}" y="${y + 4}" text-anchor="end">${label}</text>`);
      if (interval)
        parts.push(
          `<line x1="${at(x(interval.low))}" x2="${at(x(interval.high))}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="3"/>`,
        );
      parts.push(`<circle cx="${at(x(value))}" cy="${y}" r="4.5" fill="${colour}"/>`);
    }
    parts.push(`<line x1="${at(x(0))}" x2="${at(x(0))}" y1="${top}" y2="${y + 10}" class="axis"/>`);
    y += 26;
  }
  for (const tick of ticks(low, high))
    parts.push(`<text x="${at(x(tick))}" y="${y}" text-anchor="middle">${Number(tick.toFixed(4))}</text>`);
  y += 18;
  parts.push(`<text x="${(LABEL + WIDTH) / 2}" y="${y}" text-anchor="middle">${axis}</text>`);
  const style =
    'text{font:12px sans-serif;fill:#555}.title{font-weight:bold}.axis{stroke:#888}@media(prefers-color-scheme:dark){text{fill:#bbb}}';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + MARGIN}" role="img" aria-label="${axis}"><style>${style}</style>${parts.join('')}</svg>\n`;
}

const at = (value: number) => value.toFixed(1);

/** About five round values. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough)!;
  const found: number[] = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
  return found;
}
