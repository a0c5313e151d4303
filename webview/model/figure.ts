/** The sizes of a figure for print. */
import { t } from '../host/words';

export const WIDTHS = {
  column: { label: t('1 column'), millimetres: 89 },
  middle: { label: '1½', millimetres: 136 },
  page: { label: t('2 columns'), millimetres: 183 },
} as const;
export type Width = keyof typeof WIDTHS;

/** What text is as tall as in the views, in CSS pixels. */
const TEXT = 13;
const PIXELS_PER_MILLIMETRE = 96 / 25.4;
const PIXELS_PER_POINT = 96 / 72;

/** Dots per inch of what is not lines. */
export const RESOLUTION = 600;

/** How wide a picture is drawn, in CSS pixels, so that its text is that many points tall when it is printed. */
export function drawnWidth(width: Width, points: number): number {
  return Math.round((WIDTHS[width].millimetres * PIXELS_PER_MILLIMETRE * TEXT) / (points * PIXELS_PER_POINT));
}

/** Height of the text in points of a picture that came out `drawn` pixels wide. */
export function pointsOf(width: Width, drawn: number): number {
  return (WIDTHS[width].millimetres * PIXELS_PER_MILLIMETRE * TEXT) / (drawn * PIXELS_PER_POINT);
}

/** Pixels of the printed figure for each of the drawn. */
export function pixelRatio(width: Width, drawn: number): number {
  return ((WIDTHS[width].millimetres / 25.4) * RESOLUTION) / drawn;
}
