/**
 * Writes a piece of the page as SVG, whole: walks it, shadow roots included, and what scrolls is not cropped.
 * Knows what our views are made of: boxes with a background and a border or outline, text, canvases and inline SVG.
 */

export interface Picture {
  svg: string;
  width: number;
  height: number;
}

const SVG_STYLES = [
  'fill',
  'fill-opacity',
  'stroke',
  'stroke-opacity',
  'stroke-width',
  'stroke-dasharray',
  'stroke-linecap',
  'stroke-linejoin',
  'paint-order',
  'overflow',
  'opacity',
  'color',
  'font-family',
  'font-size',
  'font-weight',
  'text-anchor',
  'dominant-baseline',
];

const escape = (text: string) => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const round = (x: number) => Math.round(x * 100) / 100;
const visible = (colour: string) => colour !== 'transparent' && !/^rgba\(.*,\s*0\)$|\/\s*0\)$/.test(colour);

/** Space around the picture, in pixels. */
export const MARGIN = 8;
/** Boxes lower than this are left out of an excerpt rather than cut through. */
const LINE = 60;

/** What containers leave in sight, in page coordinates. */
interface Clip {
  left: number;
  top: number;
  right: number;
  bottom: number;
  /** It scrolls: an excerpt, of whole lines. */
  scrolls: boolean;
}

interface Walk {
  parts: string[];
  /** Corner of the first root on the page. */
  x: number;
  y: number;
  clips: number;
  /** What is drawn, in the coordinates of the picture. */
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** @param roots pieces that stand in one picture as they do on the page */
export function pageToSvg(...roots: HTMLElement[]): Picture {
  const frame = roots[0]!.getBoundingClientRect();
  const background = getComputedStyle(document.body).backgroundColor;
  const [right, bottom] = [frame.width, frame.height];
  const state: Walk = { parts: [], x: frame.x, y: frame.y, clips: 0, left: 0, top: 0, right, bottom };
  for (const root of roots) walk(root, state, null);
  const [left, top] = [Math.floor(state.left) - MARGIN, Math.floor(state.top) - MARGIN];
  const width = Math.ceil(state.right) + MARGIN - left;
  const height = Math.ceil(state.bottom) + MARGIN - top;
  return {
    width,
    height,
    svg: [
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="${left} ${top} ${width} ${height}">`,
      `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="${visible(background) ? background : '#fff'}"/>`,
      ...state.parts,
      '</svg>',
    ].join('\n'),
  };
}

/** Where a box is in the picture, which grows to hold what is drawn there, as far as it is not clipped. */
function placeOf(box: DOMRect, state: Walk, clip: Clip | null): string {
  const { x, y } = state;
  const seen = {
    left: Math.max(box.left, clip?.left ?? -Infinity) - x,
    top: Math.max(box.top, clip?.top ?? -Infinity) - y,
    right: Math.min(box.right, clip?.right ?? Infinity) - x,
    bottom: Math.min(box.bottom, clip?.bottom ?? Infinity) - y,
  };
  if (seen.right > seen.left && seen.bottom > seen.top) {
    state.left = Math.min(state.left, seen.left);
    state.top = Math.min(state.top, seen.top);
    state.right = Math.max(state.right, seen.right);
    state.bottom = Math.max(state.bottom, seen.bottom);
  }
  return `x="${round(box.x - x)}" y="${round(box.y - y)}" width="${round(box.width)}" height="${round(box.height)}"`;
}

function walk(element: Element, state: Walk, clip: Clip | null): void {
  if (element.hasAttribute('data-no-export') || element.classList.contains('hidden')) return;
  const style = getComputedStyle(element);
  if (style.display === 'none' || style.visibility === 'hidden') return;
  const box = element.getBoundingClientRect();
  if (clip && box.height > 0 && (box.bottom < clip.top || box.top > clip.bottom)) return;
  const { parts } = state;
  const faded = style.opacity !== '1';
  if (faded) parts.push(`<g opacity="${style.opacity}">`);
  if (element instanceof HTMLCanvasElement) {
    const rendering = style.imageRendering === 'pixelated' ? ' style="image-rendering:pixelated"' : '';
    if (element.width && element.height) {
      parts.push(
        `<image ${placeOf(box, state, clip)} preserveAspectRatio="none"${rendering} xlink:href="${element.toDataURL('image/png')}"/>`,
      );
    }
  } else if (element instanceof SVGSVGElement) {
    parts.push(inlineSvg(element, placeOf(box, state, clip)));
  } else {
    // An inline element has a box on each of its lines.
    for (const line of style.display === 'inline' ? element.getClientRects() : [box]) {
      parts.push(...boxes(style, line, state, clip));
    }
    const own = clipOf(element, style, box);
    const inner = own ? within(own, clip) : clip;
    if (own) {
      const id = `clip${++state.clips}`;
      const [x, y, width, height] = [own.left, own.top, own.right - own.left, own.bottom - own.top];
      const area = placeOf(new DOMRect(x, y, width, height), state, within(own, clip));
      parts.push(`<clipPath id="${id}"><rect ${area}/></clipPath><g clip-path="url(#${id})">`);
    }
    const children = element.shadowRoot ? element.shadowRoot.childNodes : element.childNodes;
    for (const child of nodesOf(element, children)) {
      if (child instanceof Text) parts.push(...lines(child, style, state, inner));
      else if (child instanceof Element) walk(child, state, inner);
    }
    if (own) parts.push('</g>');
  }
  if (faded) parts.push('</g>');
}

/** What scrolls sideways stands in the picture whole, of what scrolls downwards the lines in sight; what is hidden stays so. */
function clipOf(element: Element, style: CSSStyleDeclaration, box: DOMRect): Clip | null {
  const { left, top, right, bottom } = box;
  if (style.overflowX === 'hidden' || style.overflowX === 'clip')
    return { left, top, right, bottom, scrolls: false };
  const downwards = style.overflowY === 'auto' || style.overflowY === 'scroll';
  if (!downwards || element.scrollHeight <= element.clientHeight + 1) return null;
  return { left, top, right: Math.max(right, left + element.scrollWidth), bottom, scrolls: true };
}

function within(own: Clip, clip: Clip | null): Clip {
  if (!clip) return own;
  const [left, top] = [Math.max(own.left, clip.left), Math.max(own.top, clip.top)];
  const [right, bottom] = [Math.min(own.right, clip.right), Math.min(own.bottom, clip.bottom)];
  return { left, top, right, bottom, scrolls: own.scrolls || clip.scrolls };
}

const cutThrough = (box: DOMRect, clip: Clip | null) =>
  !!clip?.scrolls && box.height < LINE && (box.top < clip.top - 1 || box.bottom > clip.bottom + 1);

function nodesOf(element: Element, children: NodeListOf<ChildNode>): Node[] {
  return element instanceof HTMLSlotElement ? element.assignedNodes({ flatten: true }) : [...children];
}

function boxes(style: CSSStyleDeclaration, box: DOMRect, state: Walk, clip: Clip | null): string[] {
  if (cutThrough(box, clip)) return [];
  const fill = visible(style.backgroundColor) ? style.backgroundColor : null;
  const sides = SIDES.map(side => strokeOf(style, `border-${side}`));
  const around = strokeOf(style, 'outline') ?? (new Set(sides).size === 1 ? sides[0] : null);
  const rect =
    fill || around
      ? [
          `<rect ${placeOf(box, state, clip)} rx="${parseFloat(style.borderTopLeftRadius) || 0}" fill="${fill ?? 'none'}"${around ?? ''}/>`,
        ]
      : [];
  return around ? rect : [...rect, ...sides.flatMap((stroke, side) => borderLine(stroke, side, box, state))];
}

const SIDES = ['top', 'right', 'bottom', 'left'];

/** Attributes of a border or an outline that is seen, or null. */
function strokeOf(style: CSSStyleDeclaration, name: string): string | null {
  const [kind, width, colour] = ['style', 'width', 'color'].map(part =>
    style.getPropertyValue(`${name}-${part}`),
  );
  if (kind === 'none' || !(parseFloat(width!) > 0) || !visible(colour!)) return null;
  const dashes = kind === 'dashed' ? ' stroke-dasharray="4 3"' : '';
  return ` stroke="${colour}" stroke-width="${parseFloat(width!)}"${dashes}`;
}

/** One side of a box whose borders differ. */
function borderLine(stroke: string | null, side: number, box: DOMRect, { x, y }: Walk): string[] {
  if (!stroke) return [];
  const [left, right, top, bottom] = [box.left - x, box.right - x, box.top - y, box.bottom - y].map(round);
  const ends = [
    [left, top, right, top],
    [right, top, right, bottom],
    [left, bottom, right, bottom],
    [left, top, left, bottom],
  ][side]!;
  return [`<line x1="${ends[0]}" y1="${ends[1]}" x2="${ends[2]}" y2="${ends[3]}"${stroke}/>`];
}

/** One <text> per visual line of a text node, as wide as it is on the page. */
function lines(node: Text, style: CSSStyleDeclaration, state: Walk, clip: Clip | null): string[] {
  const text = node.data;
  if (!text.trim()) return [];
  const range = document.createRange();
  const parts: string[] = [];
  // First and last character with ink of the line at hand.
  let first = -1;
  let last = -1;
  let top = 0;
  const flush = () => {
    if (first < 0) return;
    range.setStart(node, first);
    range.setEnd(node, last + 1);
    const box = range.getBoundingClientRect();
    if (cutThrough(box, clip)) {
      first = -1;
      return;
    }
    placeOf(box, state, clip);
    const size = parseFloat(style.fontSize);
    const baseline = box.y - state.y + box.height / 2 + size * 0.35;
    const words = text.slice(first, last + 1).replace(/\s+/g, ' ');
    parts.push(
      `<text x="${round(box.x - state.x)}" y="${round(baseline)}" fill="${style.color}" font-family="${escape(style.fontFamily)}" font-size="${size}" font-weight="${style.fontWeight}" textLength="${round(box.width)}" lengthAdjust="spacingAndGlyphs">${escape(words)}</text>`,
    );
    first = -1;
  };
  for (let i = 0; i < text.length; i++) {
    if (/\s/.test(text[i]!)) continue;
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    const box = range.getClientRects()[0];
    if (!box) continue;
    if (first >= 0 && Math.abs(box.y - top) > box.height / 2) flush();
    if (first < 0) {
      first = i;
      top = box.y;
    }
    last = i;
  }
  flush();
  return parts;
}

function inlineSvg(element: SVGSVGElement, place: string): string {
  const copy = element.cloneNode(true) as SVGSVGElement;
  const originals = [element, ...element.querySelectorAll('*')];
  const copies = [copy, ...copy.querySelectorAll('*')];
  originals.forEach((original, i) => {
    const style = getComputedStyle(original);
    const target = copies[i]!;
    for (const name of SVG_STYLES) target.setAttribute(name, style.getPropertyValue(name));
    target.removeAttribute('class');
    target.removeAttribute('style');
  });
  for (const part of place.matchAll(/(\w+)="([^"]*)"/g)) copy.setAttribute(part[1]!, part[2]!);
  return new XMLSerializer().serializeToString(copy).replace(/<!--[\s\S]*?-->/g, '');
}

/** The same picture, as wide as it is to be printed. */
export function printed({ svg, width, height }: Picture, millimetres: number): Picture {
  const tall = round((millimetres * height) / width);
  const size = `width="${width}" height="${height}"`;
  return { width, height, svg: svg.replace(size, `width="${millimetres}mm" height="${tall}mm"`) };
}
