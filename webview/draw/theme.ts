import { signal } from '@lit-labs/preact-signals';
import { diverging, parseColour, sequential, type Lut, type Rgb, type ThemeColours } from './colour';

export interface Theme extends ThemeColours {
  sequential: Lut;
  diverging: Lut;
  font: string;
  editorFont: string;
}

function read(): Theme {
  const style = getComputedStyle(document.documentElement);
  const bodyClass = document.body.classList;
  const text = (name: string) => style.getPropertyValue(name).trim();
  const colour = (fallback: Rgb, ...names: string[]): Rgb => {
    for (const name of names) {
      const parsed = parseColour(text(name));
      if (parsed) return parsed;
    }
    return fallback;
  };
  // While a figure is made it is drawn on paper, whatever the editor's theme is.
  const paper = (['light', 'dark'] as const).find(kind => bodyClass.contains(`paper-${kind}`));
  const highContrastLight = !paper && bodyClass.contains('vscode-high-contrast-light');
  const highContrast = highContrastLight || (!paper && bodyClass.contains('vscode-high-contrast'));
  const dark = paper ? paper === 'dark' : !highContrastLight && !bodyClass.contains('vscode-light');
  const background = colour(dark ? [30, 30, 30] : [255, 255, 255], '--vscode-editor-background');
  const foreground = colour(dark ? [204, 204, 204] : [59, 59, 59], '--vscode-foreground');
  const colours: ThemeColours = {
    dark,
    highContrast,
    background,
    foreground,
    muted: colour(foreground, '--vscode-descriptionForeground'),
    border: colour(foreground, '--vscode-contrastBorder', '--vscode-panel-border', '--vscode-widget-border'),
    focus: colour([0, 127, 212], '--vscode-focusBorder'),
  };
  return {
    ...colours,
    sequential: sequential(colours),
    diverging: diverging(colours),
    font: text('--vscode-font-family') || 'sans-serif',
    editorFont: text('--vscode-editor-font-family') || 'monospace',
  };
}

const current = signal<Theme | null>(null);

/** The colours of the moment, for what CSS cannot reach: canvases and shaders. A component that reads them follows them. */
export function theme(): Theme {
  if (!current.peek()) {
    current.value = read();
    const observer = new MutationObserver(() => (current.value = read()));
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style', 'class'] });
    observer.observe(document.body, { attributes: true, attributeFilter: ['class'] });
  }
  return current.value!;
}
