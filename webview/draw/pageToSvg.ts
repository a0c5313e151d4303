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
const visible = (colour: string) => colour !== 'transparent' && !/,\s*0\)$|\/\s*0\)$/.test(colour);

export function pageToSvg(root: HTMLElement): Picture {
  const frame = root.getBoundingClientRect();
  const parts: string[] = [];
  const background = getComputedStyle(document.body).backgroundColor;
  walk(root, parts, frame);
  const width = Math.ceil(frame.width);
  const height = Math.ceil(frame.height);
  return {
    width,
    height,
    svg: [
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
      `<rect width="100%" height="100%" fill="${visible(background) ? background : '#fff'}"/>`,
      ...parts,
      '</svg>',
    ].join('\n'),
  };
}

function walk(element: Element, parts: string[], frame: DOMRect): void {
  if (element.hasAttribute('data-no-export') || element.classList.contains('hidden')) return;
  const style = getComputedStyle(element);
  if (style.display === 'none' || style.visibility === 'hidden') return;
  const box = element.getBoundingClientRect();
  const place = `x="${round(box.x - frame.x)}" y="${round(box.y - frame.y)}" width="${round(box.width)}" height="${round(box.height)}"`;
  const faded = style.opacity !== '1';
  if (faded) parts.push(`<g opacity="${style.opacity}">`);
  if (element instanceof HTMLCanvasElement) {
    const rendering = style.imageRendering === 'pixelated' ? ' style="image-rendering:pixelated"' : '';
    if (element.width && element.height) {
      parts.push(
        `<image ${place} preserveAspectRatio="none"${rendering} xlink:href="${element.toDataURL('image/png')}"/>`,
      );
    }
  } else if (element instanceof SVGSVGElement) {
    parts.push(inlineSvg(element, place));
  } else {
    parts.push(...boxes(style, place));
    const children = element.shadowRoot ? element.shadowRoot.childNodes : element.childNodes;
    for (const child of nodesOf(element, children)) {
      if (child instanceof Text) parts.push(...lines(child, style, frame));
      else if (child instanceof Element) walk(child, parts, frame);
    }
  }
  if (faded) parts.push('</g>');
}

function nodesOf(element: Element, children: NodeListOf<ChildNode>): Node[] {
  return element instanceof HTMLSlotElement ? element.assignedNodes({ flatten: true }) : [...children];
}

function boxes(style: CSSStyleDeclaration, place: string): string[] {
  const fill = visible(style.backgroundColor) ? style.backgroundColor : null;
  const line = [
    [style.outlineStyle, style.outlineWidth, style.outlineColor],
    [style.borderTopStyle, style.borderTopWidth, style.borderTopColor],
  ].find(([kind, width, colour]) => kind !== 'none' && parseFloat(width!) > 0 && visible(colour!));
  if (!fill && !line) return [];
  const stroke = line ? ` stroke="${line[2]}" stroke-width="${parseFloat(line[1]!)}"` : '';
  return [
    `<rect ${place} rx="${parseFloat(style.borderTopLeftRadius) || 0}" fill="${fill ?? 'none'}"${stroke}/>`,
  ];
}

/** One <text> per visual line of a text node. */
function lines(node: Text, style: CSSStyleDeclaration, frame: DOMRect): string[] {
  const text = node.data;
  if (!text.trim()) return [];
  const range = document.createRange();
  const parts: string[] = [];
  let start = 0;
  let last: DOMRect | null = null;
  const flush = (end: number) => {
    const words = text.slice(start, end).replace(/\s+/g, ' ').trim();
    if (last && words) {
      range.setStart(node, start);
      range.setEnd(node, end);
      const box = [...range.getClientRects()].find(r => r.width > 0) ?? last;
      const size = parseFloat(style.fontSize);
      const baseline = box.y - frame.y + box.height / 2 + size * 0.35;
      parts.push(
        `<text x="${round(box.x - frame.x)}" y="${round(baseline)}" fill="${style.color}" font-family="${escape(style.fontFamily)}" font-size="${size}" font-weight="${style.fontWeight}" textLength="${round(box.width)}" lengthAdjust="spacingAndGlyphs">${escape(words)}</text>`,
      );
    }
    start = end;
  };
  for (let i = 0; i < text.length; i++) {
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    const box = range.getClientRects()[0];
    if (!box || box.width === 0) continue;
    if (last && Math.abs(box.y - last.y) > box.height / 2) flush(i);
    last = box;
  }
  flush(text.length);
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
