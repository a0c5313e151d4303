/**
 * Saves what is seen: walks a piece of the page, shadow roots included, and writes it as SVG.
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
const MARGIN = 12;

interface Walk {
  parts: string[];
  /** Corner of the picture on the page. */
  x: number;
  y: number;
  clips: number;
}

export function pageToSvg(root: HTMLElement): Picture {
  const frame = root.getBoundingClientRect();
  const background = getComputedStyle(document.body).backgroundColor;
  const state: Walk = { parts: [], x: frame.x - MARGIN, y: frame.y - MARGIN, clips: 0 };
  walk(root, state, null);
  const width = Math.ceil(frame.width) + 2 * MARGIN;
  const height = Math.ceil(frame.height) + 2 * MARGIN;
  return {
    width,
    height,
    svg: [
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
      `<rect width="100%" height="100%" fill="${visible(background) ? background : '#fff'}"/>`,
      ...state.parts,
      '</svg>',
    ].join('\n'),
  };
}

function placeOf(box: DOMRect, { x, y }: Walk): string {
  return `x="${round(box.x - x)}" y="${round(box.y - y)}" width="${round(box.width)}" height="${round(box.height)}"`;
}

/** @param clip what scrolling containers leave in sight, in page coordinates */
function walk(element: Element, state: Walk, clip: DOMRect | null): void {
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
        `<image ${placeOf(box, state)} preserveAspectRatio="none"${rendering} xlink:href="${element.toDataURL('image/png')}"/>`,
      );
    }
  } else if (element instanceof SVGSVGElement) {
    parts.push(inlineSvg(element, placeOf(box, state)));
  } else {
    // An inline element has a box on each of its lines.
    for (const line of style.display === 'inline' ? element.getClientRects() : [box]) {
      parts.push(...boxes(style, line, state));
    }
    const clips = style.overflowY !== 'visible';
    if (clips) {
      const id = `clip${++state.clips}`;
      parts.push(`<clipPath id="${id}"><rect ${placeOf(box, state)}/></clipPath><g clip-path="url(#${id})">`);
    }
    const children = element.shadowRoot ? element.shadowRoot.childNodes : element.childNodes;
    for (const child of nodesOf(element, children)) {
      if (child instanceof Text) parts.push(...lines(child, style, state));
      else if (child instanceof Element) walk(child, state, clips ? box : clip);
    }
    if (clips) parts.push('</g>');
  }
  if (faded) parts.push('</g>');
}

function nodesOf(element: Element, children: NodeListOf<ChildNode>): Node[] {
  return element instanceof HTMLSlotElement ? element.assignedNodes({ flatten: true }) : [...children];
}

function boxes(style: CSSStyleDeclaration, box: DOMRect, state: Walk): string[] {
  const fill = visible(style.backgroundColor) ? style.backgroundColor : null;
  const sides = SIDES.map(side => strokeOf(style, `border-${side}`));
  const around = strokeOf(style, 'outline') ?? (new Set(sides).size === 1 ? sides[0] : null);
  const place = placeOf(box, state);
  const rect =
    fill || around
      ? [
          `<rect ${place} rx="${parseFloat(style.borderTopLeftRadius) || 0}" fill="${fill ?? 'none'}"${around ?? ''}/>`,
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
function lines(node: Text, style: CSSStyleDeclaration, state: Walk): string[] {
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

export async function svgToPng(picture: Picture, pixelRatio: number): Promise<Uint8Array> {
  const url = URL.createObjectURL(new Blob([picture.svg], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error('the picture could not be drawn'));
      image.src = url;
    });
    const canvas = document.createElement('canvas');
    canvas.width = picture.width * pixelRatio;
    canvas.height = picture.height * pixelRatio;
    canvas.getContext('2d')!.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>(resolve => canvas.toBlob(resolve, 'image/png'));
    if (!blob) throw new Error('the picture is too large for this machine');
    return new Uint8Array(await blob.arrayBuffer());
  } finally {
    URL.revokeObjectURL(url);
  }
}
