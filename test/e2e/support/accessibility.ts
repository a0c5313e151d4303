import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Frame } from 'playwright-core';

const AXE = readFileSync(createRequire(__filename).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds wrong in a view by WCAG 2.1 A and AA: one line per rule. */
export async function violations(frame: Frame): Promise<string[]> {
  await frame.evaluate(AXE);
  const results = await frame.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run(context: object, options: object): Promise<AxeResults> };
    };
    return axe.run(document.querySelector('attention-app')!, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'],
    });
  });
  return results.violations.map(
    ({ id, help, nodes }) => `${id}: ${help} (${nodes.length}): ${nodes[0]?.html.slice(0, 160)}`,
  );
}

interface ThroughShadows {
  /** All elements, also those inside of components. */
  inside(root: ParentNode): Element[];
  /** What an element stands in. */
  up(one: Element): Element | null;
}

/** Gives the page what the checks below walk its components with. */
async function seeThroughShadows(frame: Frame): Promise<void> {
  // What the compiler of the tests puts around functions to keep their names.
  await frame.evaluate('globalThis.__name ??= one => one');
  await frame.evaluate(() => {
    const inside = (root: ParentNode): Element[] =>
      [...root.querySelectorAll('*')].flatMap(one => [
        one,
        ...(one.shadowRoot ? inside(one.shadowRoot) : []),
      ]);
    const up = (one: Element) => one.parentElement ?? (one.getRootNode() as ShadowRoot).host ?? null;
    Object.assign(globalThis, { throughShadows: { inside, up } satisfies ThroughShadows });
  });
}

/**
 * Canvases that say nothing to those who cannot see them: without a name of their own, of what they stand in (a cell, a
 * figure) or of what lies over them. With them, a view without any table, list or grid, in which its numbers can be read.
 */
export async function mutePictures(frame: Frame): Promise<string[]> {
  await seeThroughShadows(frame);
  return frame.evaluate(() => {
    const { inside, up } = (globalThis as unknown as { throughShadows: ThroughShadows }).throughShadows;
    const isNamed = (one: Element) => one.hasAttribute('aria-label') || one.hasAttribute('aria-labelledby');
    const speaks = (canvas: Element): boolean => {
      if ([...canvas.parentNode!.children].some(isNamed)) return true;
      // Not by the whole view, which is named by its tab.
      for (let one: Element | null = canvas; one && one.id !== 'figure' && one.id !== 'view'; one = up(one))
        if (isNamed(one) || one.localName === 'tr') return true;
      return false;
    };
    const all = inside(document.querySelector('attention-app')!);
    const canvases = all.filter(one => one.localName === 'canvas');
    const mute = canvases
      .filter(canvas => !speaks(canvas))
      .map(canvas => `a picture without words in ${(canvas.getRootNode() as ShadowRoot).host.localName}`);
    const read = 'table, ol, ul, dl, [role="grid"], [role="table"], [role="list"], [role="listbox"]';
    const numbers = all.some(one => one.matches(read));
    return canvases.length > 0 && !numbers ? [...mute, 'no numbers to read beside the pictures'] : mute;
  });
}

/** Words that are cut off: those of a picture that reach out of it, and those of a box that is too small and does not say so by "…". */
export async function cutWords(frame: Frame): Promise<string[]> {
  await seeThroughShadows(frame);
  return frame.evaluate(() => {
    const { inside, up } = (globalThis as unknown as { throughShadows: ThroughShadows }).throughShadows;
    const hides = (overflow: string) => overflow === 'hidden' || overflow === 'clip';
    return inside(document.querySelector('attention-app')!).flatMap(one => {
      const words = one.textContent?.trim().replace(/\s+/g, ' ').slice(0, 60) ?? '';
      // Such as a figure that is laid out under its preview.
      for (let at: Element | null = one; at; at = up(at)) if (at.hasAttribute('inert')) return [];
      if (!words || !one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return [];
      const where = `“${words}” in ${(one.getRootNode() as ShadowRoot).host?.localName}`;
      if (one instanceof SVGTextElement) {
        const { ownerSVGElement: picture } = one;
        if (!picture || !hides(getComputedStyle(picture).overflow)) return [];
        const [mine, whole] = [one.getBoundingClientRect(), picture.getBoundingClientRect()];
        const out = Math.max(whole.left - mine.left, mine.right - whole.right);
        return out > 1.5 ? [`${where}: ${Math.round(out)} px are cut off`] : [];
      }
      if (!(one instanceof HTMLElement)) return [];
      if (one instanceof HTMLButtonElement) {
        // What is pressed is seen, "…" or not.
        for (let box = up(one); box; box = up(box)) {
          const { overflowX } = getComputedStyle(box);
          // One can scroll to it.
          if (overflowX === 'auto' || overflowX === 'scroll') break;
          if (!hides(overflowX)) continue;
          const out = one.getBoundingClientRect().right - box.getBoundingClientRect().right;
          if (out > 1.5) return [`${where}: ${Math.round(out)} px of the button are cut off`];
        }
      }
      const { overflowX, textOverflow, clipPath } = getComputedStyle(one);
      const out = one.scrollWidth - one.clientWidth;
      return hides(overflowX) && textOverflow !== 'ellipsis' && clipPath === 'none' && out > 1
        ? [`${where}: ${out} px are cut off`]
        : [];
    });
  });
}
