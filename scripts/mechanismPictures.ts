/**
 * Draws what each mechanism keeps of one head of the bundled model on one small text, with the colours of the product's
 * own map, as media/mechanisms/NAME.svg for docs/mechanisms.md. `npm run mechanism-pictures`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { visibleKeys, type CoreInput } from '../engine/attention/core';
import { denseRow } from '../engine/attention/kernels/lines';
import type { Attended, Mechanism } from '../engine/attention/mechanism';
import { readParams } from '../engine/attention/parameters';
import { mechanisms } from '../engine/attention/registry';
import { someHeads } from '../engine/attention/kernels/subset';
import { Engine } from '../engine/engine';
import { neverCancelled } from '../engine/runtime/cancellation';
import { createRuntime } from '../engine/runtime/ort';
import type { Runtime } from '../engine/runtime/runtime';
import {
  dimLost,
  diverging,
  lutColour,
  mix,
  scaleMass,
  sequential,
  toCss,
  type Rgb,
  type ThemeColours,
} from '../webview/draw/colour';

const SCRIPT = fileURLToPath(import.meta.url);
export const PICTURES = join(dirname(SCRIPT), '../media/mechanisms');

/** Says some things twice, near and far. */
const TEXT =
  'The old clock in the hall struck nine, and the old man in the chair looked up. The clock had not struck since the war, and the old man had not looked up since.';
/** A head that looks both near and at earlier mentions. */
const HEAD = { core: 4, head: 5 };

/** Shades of mass that are told apart. */
const SHADES = 12;
const CELL = 6;

const themes: Record<'light' | 'dark', ThemeColours> = {
  light: theme(false, [255, 255, 255], [31, 35, 40]),
  dark: theme(true, [13, 17, 23], [230, 237, 243]),
};

function theme(dark: boolean, background: Rgb, foreground: Rgb): ThemeColours {
  const muted = mix(background, foreground, 0.6);
  return { dark, highContrast: false, background, foreground, muted, border: muted, focus: muted };
}

/** The map of one head as cells: mass from -1 to 1, share that is kept, and whether the mask shows it. */
interface Cells {
  size: number;
  mass: Float64Array;
  kept: Float64Array;
  visible: Uint8Array;
}

function cellsOf(input: CoreInput, attended: Attended, tokensPerCell: number): Cells {
  const { queries, keys } = input;
  const size = Math.ceil(keys / tokensPerCell);
  const mass = new Float64Array(size * size);
  const kept = new Float64Array(size * size);
  const visible = new Uint8Array(size * size);
  const pairs = new Float64Array(size * size);
  for (let i = 0; i < queries; i++) {
    const { from, to } = visibleKeys(input, i);
    const row = attended.row(0, i);
    // Where no set of pairs is kept, the mechanism's own weights are the picture.
    const weights = new Float64Array(keys);
    if (attended.lse) weights.set(denseRow(input, 0, i));
    else row.keys.forEach((key, t) => (weights[key] = row.weights[t]!));
    const share = new Float64Array(keys).fill(attended.lse ? 0 : 1);
    if (attended.lse) row.keys.forEach((key, t) => (share[key] = row.mask?.[t] ?? 1));
    const at = Math.floor(i / tokensPerCell) * size;
    for (let key = from; key < to; key++) {
      const cell = at + Math.floor(key / tokensPerCell);
      visible[cell] = 1;
      pairs[cell]!++;
      kept[cell]! += share[key]!;
      if (Math.abs(weights[key]!) > Math.abs(mass[cell]!)) mass[cell] = weights[key]!;
    }
  }
  kept.forEach((sum, cell) => (kept[cell] = sum / Math.max(1, pairs[cell]!)));
  return { size, mass, kept, visible };
}

/** A cell's look: kept or lost, and a shade; negative shades are for negative weights. */
function lookOf(mass: number, kept: number): string {
  const shade = Math.round(scaleMass(Math.abs(mass), 1, 'sqrt') * (SHADES - 1));
  return `${kept >= 0.5 ? 'k' : 'l'}${mass < 0 && shade > 0 ? 'n' : ''}${shade}`;
}

/** Nothing looks like nothing, but what is kept must be told from what is lost: a tint lies under it. */
function colourOf(look: string, { background, ...rest }: ThemeColours): Rgb {
  const colours = { background, ...rest };
  const [, state, negative, shade] = /^([kl])(n?)(\d+)$/.exec(look)!;
  const t = Number(shade) / (SHADES - 1);
  const colour = negative ? lutColour(diverging(colours), 0.5 - t / 2) : lutColour(sequential(colours), t);
  if (state === 'l') return dimLost(colour, background, 0);
  const tint = mix(background, lutColour(sequential(colours), 0.5), 0.22);
  return t === 0 ? tint : mix(tint, colour, Math.min(1, 0.35 + t));
}

/** Runs of cells that look alike become one path for each look; colours follow the reader's theme. */
function svgOf({ size, mass, kept, visible }: Cells, title: string): string {
  const paths = new Map<string, string>();
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const look = (c: number) => {
        const cell = row * size + c;
        return c < size && visible[cell] ? lookOf(mass[cell]!, kept[cell]!) : '';
      };
      const here = look(column);
      if (here === '' || here === 'l0') continue;
      const first = column;
      while (look(column + 1) === here) column++;
      const length = column + 1 - first;
      paths.set(here, `${paths.get(here) ?? ''}M${first} ${row}h${length}v1h-${length}z`);
    }
  }
  const looks = [...paths.keys()].sort();
  const rules = (colours: ThemeColours) =>
    `.f{stroke:${toCss(colours.muted)}}${looks.map(look => `.${look}{fill:${toCss(colourOf(look, colours))}}`).join('')}`;
  const side = size * CELL;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${side + 2}" height="${side + 2}" viewBox="-1 -1 ${side + 2} ${side + 2}" role="img">`,
    `<title>${title}</title>`,
    `<style>${rules(themes.light)}@media(prefers-color-scheme:dark){${rules(themes.dark)}}</style>`,
    `<g transform="scale(${CELL})">`,
    ...looks.map(look => `<path class="${look}" d="${paths.get(look)!}"/>`),
    '</g>',
    `<rect class="f" width="${side}" height="${side}" fill="none" stroke-opacity=".5"/>`,
    '</svg>',
    '',
  ].join('\n');
}

/** What a picture says of itself. */
export function pictureTitle({ info, examples }: Mechanism): string {
  const settings = Object.entries(examples[0] ?? {}).map(([parameter, value]) => `${parameter} ${value}`);
  return [info.title, settings.join(', ')].filter(Boolean).join(': ');
}

/** Queries, keys and values of the head on the text. */
async function coreOf(text: string): Promise<CoreInput> {
  const engine = new Engine();
  let found: CoreInput | null = null;
  await engine.analyze(
    {
      id: 'picture',
      model: 'bundled',
      text,
      device: 'cpu',
      maxTokens: null,
      mechanisms: [],
      propagate: false,
    },
    neverCancelled,
    {
      onTensors: async (info, input) => {
        if (info.core === HEAD.core) found = someHeads(input, [HEAD.head]);
      },
    },
  );
  await engine.dispose();
  return found!;
}

/** The picture of each mechanism, by name. What cannot be causal is shown on the same queries and keys without a mask. */
async function mechanismPictures(): Promise<Map<string, string>> {
  const runtime: Runtime = await createRuntime('cpu');
  const pictures = new Map<string, string>();
  const cores = new Map<number, CoreInput>();
  for (const mechanism of mechanisms) {
    const { name } = mechanism.info;
    const times = mechanism.pictureRepeats ?? 1;
    if (!cores.has(times)) cores.set(times, await coreOf(Array(times).fill(TEXT).join(' ')));
    const params = readParams(mechanism.info, mechanism.examples[0] ?? {});
    const causal = cores.get(times)!;
    const full = { ...causal, rule: { ...causal.rule, mask: { causal: false, window: null } } };
    const input = mechanism.refuses?.(causal, params) ? full : causal;
    const context = { runtime, signal: neverCancelled, own: {} };
    const own = await mechanism.prepare?.(input, params, context);
    const attended = await mechanism.attend(input, params, { ...context, own: { ...own } });
    pictures.set(name, svgOf(cellsOf(input, attended, times), pictureTitle(mechanism)));
  }
  await runtime.dispose();
  return pictures;
}

if (process.argv[1] === SCRIPT) {
  void mechanismPictures().then(pictures => {
    mkdirSync(PICTURES, { recursive: true });
    for (const [name, svg] of pictures) writeFileSync(join(PICTURES, `${name}.svg`), svg);
  });
}
