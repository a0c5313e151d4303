/** The colours of a figure on paper (or a dark slide) in place of the editor's theme, while one is made. */
export type Paper = 'light' | 'dark';

const LIGHT: Record<string, string> = {
  'font-family': 'Helvetica, Arial, "Liberation Sans", sans-serif',
  'font-size': '13px',
  foreground: '#000000',
  descriptionForeground: '#4a4a4a',
  'editor-background': '#ffffff',
  'editor-foreground': '#000000',
  'sideBar-background': '#ffffff',
  'panel-border': '#c8c8c8',
  'widget-border': '#c8c8c8',
  focusBorder: '#005fb8',
  'editorWidget-background': '#f2f2f2',
  'editorWidget-foreground': '#000000',
  'editorWidget-border': '#c8c8c8',
  'editorWarning-foreground': '#8a5a00',
  'dropdown-background': '#ffffff',
  'dropdown-foreground': '#000000',
  'dropdown-border': '#c8c8c8',
  'button-background': '#005fb8',
  'button-foreground': '#ffffff',
  'button-secondaryBackground': '#e5e5e5',
  'button-secondaryForeground': '#1f1f1f',
  'checkbox-background': '#ffffff',
  'checkbox-border': '#767676',
  'checkbox-foreground': '#000000',
  'list-activeSelectionBackground': '#d6e8fa',
  'list-activeSelectionForeground': '#000000',
  'list-hoverBackground': '#f2f2f2',
  'textLink-foreground': '#000000',
  'panelTitle-activeForeground': '#000000',
  'panelTitle-inactiveForeground': '#4a4a4a',
  'panelTitle-activeBorder': '#005fb8',
  'charts-blue': '#1a66c2',
  'toolbar-hoverBackground': '#b8b8b850',
  'progressBar-background': '#005fb8',
};

const DARK: Record<string, string> = {
  ...LIGHT,
  foreground: '#ffffff',
  descriptionForeground: '#b8b8b8',
  'editor-background': '#111111',
  'editor-foreground': '#ffffff',
  'sideBar-background': '#111111',
  'panel-border': '#4a4a4a',
  'widget-border': '#4a4a4a',
  focusBorder: '#4daafc',
  'editorWidget-background': '#242424',
  'editorWidget-foreground': '#ffffff',
  'editorWidget-border': '#4a4a4a',
  'editorWarning-foreground': '#e2b340',
  'dropdown-background': '#242424',
  'dropdown-foreground': '#ffffff',
  'dropdown-border': '#4a4a4a',
  'button-background': '#0067b8',
  'button-secondaryBackground': '#3a3a3a',
  'button-secondaryForeground': '#ffffff',
  'checkbox-background': '#242424',
  'checkbox-border': '#8a8a8a',
  'checkbox-foreground': '#ffffff',
  'list-activeSelectionBackground': '#04395e',
  'list-activeSelectionForeground': '#ffffff',
  'list-hoverBackground': '#2a2a2a',
  'textLink-foreground': '#ffffff',
  'panelTitle-activeForeground': '#ffffff',
  'panelTitle-inactiveForeground': '#b8b8b8',
  'panelTitle-activeBorder': '#4daafc',
  'charts-blue': '#4d9eff',
};

/** High-contrast themes set these, paper does not: as if they were not there. */
const WITHOUT = ['contrastBorder', 'contrastActiveBorder'];

const sheet = new CSSStyleSheet();

/** From now on everything on the page is drawn in these colours; null: in the editor's again. */
export function drawOn(paper: Paper | null): void {
  const others = document.adoptedStyleSheets.filter(one => one !== sheet);
  if (paper) sheet.replaceSync(rule(paper === 'light' ? LIGHT : DARK));
  document.adoptedStyleSheets = paper ? [...others, sheet] : others;
  // Whoever follows the theme reads its colours anew when this changes.
  const { classList } = document.body;
  for (const kind of ['light', 'dark']) classList.toggle(`paper-${kind}`, kind === paper);
}

function rule(colours: Record<string, string>): string {
  const set = Object.entries(colours).map(([name, value]) => `--vscode-${name}: ${value} !important;`);
  const unset = WITHOUT.map(name => `--vscode-${name}: initial !important;`);
  return `:root { ${[...set, ...unset].join(' ')} }`;
}
