import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  MANIFEST,
  withDerivedParts,
  withDerivedWords,
  WORDS,
  type Manifest,
  type Words,
} from '../../scripts/manifest';
import { readMechanisms } from '../../extension/workbench/mechanismSetting';
import { CHANGE_STEPS } from '../../extension/editor/changeScale';
import { STEPS } from '../../extension/editor/massScale';
import { mechanismInfos } from '../../engine/attention/registry';

interface FullManifest extends Manifest {
  icon: string;
  activationEvents: string[];
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
  contributes: Manifest['contributes'] & {
    commands: { command: string; title: string; category: string }[];
    menus: Record<string, { command?: string; submenu?: string; when?: string }[]>;
    submenus: { id: string }[];
    keybindings: { command: string }[];
    colors: { id: string; defaults: Record<string, string> }[];
    configuration: {
      properties: Record<string, { default?: unknown; scope?: string; markdownDescription?: string }>;
    };
    viewsContainers: { activitybar: { icon: string }[] };
    walkthroughs: {
      steps: { description: string; media: { image: string; altText: string }; completionEvents: string[] }[];
    }[];
  };
}

const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as FullManifest;
const words = JSON.parse(readFileSync(WORDS, 'utf8')) as Words;
const { contributes } = manifest;
/** `%key%` as it is read. */
const inWords = (text: string): string => words[text.replace(/^%(.*)%$/, '$1')] ?? text;
const root = join(MANIFEST, '..');

describe('extension: manifest', () => {
  it('has the schema of the mechanisms as their registry has it', () => {
    assert.deepEqual(manifest, withDerivedParts(manifest), 'run `npm run manifest`');
    assert.deepEqual(words, withDerivedWords(words), 'run `npm run manifest`');
  });

  it('computes by default what exists', () => {
    const listed = contributes.configuration.properties['attentionInspector.mechanisms']!;
    const { settings, problems } = readMechanisms(listed.default, mechanismInfos);
    assert.deepEqual(problems, []);
    assert.equal(settings.length, (listed.default as unknown[]).length);
  });

  it('names only commands that it contributes', () => {
    const commands = new Set(contributes.commands.map(({ command }) => command));
    assert.equal(commands.size, contributes.commands.length, 'no command twice');
    const submenus = new Set(contributes.submenus.map(({ id }) => id));
    const named = [...Object.values(contributes.menus).flat(), ...contributes.keybindings].flatMap(
      ({ command }) => (command ? [command] : []),
    );
    const steps = contributes.walkthroughs.flatMap(({ steps }) => steps);
    for (const { description, completionEvents } of steps) {
      for (const [, command] of inWords(description).matchAll(/\(command:([\w.]+)\)/g)) named.push(command!);
      for (const event of completionEvents)
        assert.match(event, /^onContext:/, 'ticked by what has happened, not by a button that was pressed');
    }
    for (const command of named)
      assert.ok(commands.has(command) || command.endsWith('.focus'), `${command} is contributed`);
    for (const entry of Object.values(contributes.menus).flat())
      if ('submenu' in entry && entry.submenu) assert.ok(submenus.has(entry.submenu));
    for (const { category } of contributes.commands) assert.equal(category, '%category%');
  });

  it('offers an analysis above a text of any language, and is there for the hover after a reload', () => {
    const [title] = contributes.menus['editor/title']!;
    assert.equal(title!.command, 'attentionInspector.analyze');
    assert.doesNotMatch(title!.when!, /resourceLangId/);
    assert.ok(manifest.activationEvents.includes('onStartupFinished'));
    assert.equal(
      contributes.configuration.properties['attentionInspector.costHints.enabled']!.default,
      false,
    );
  });

  it('has the files that it names', () => {
    const files = [
      manifest.icon,
      ...contributes.viewsContainers.activitybar.map(({ icon }) => icon),
      ...contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.image)),
      'media/panel-light.svg',
      'media/panel-dark.svg',
    ];
    for (const file of files) assert.ok(existsSync(join(root, file)), file);
    const png = readFileSync(join(root, manifest.icon));
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [128, 128]);
  });

  it('describes every setting, and restricts what loads or runs in an untrusted workspace', () => {
    const settings = contributes.configuration.properties;
    for (const [name, { markdownDescription, scope, default: value }] of Object.entries(settings)) {
      assert.ok(markdownDescription, `${name} is described`);
      assert.ok(scope, `${name} has a scope`);
      assert.notEqual(value, undefined, `${name} has a default`);
    }
    const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
    for (const name of restricted) assert.ok(settings[name], `${name} exists`);
    // What a workspace can set at all it sets only when it is trusted.
    const settable = Object.keys(settings).filter(name => settings[name]!.scope !== 'machine');
    assert.deepEqual([...restricted].sort(), settable.sort());
  });

  it('keeps text readable on the heaviest mass, in every kind of theme', () => {
    const themes = {
      dark: ['#1f1f1f', '#cccccc'],
      light: ['#ffffff', '#3b3b3b'],
      highContrast: ['#000000', '#ffffff'],
      highContrastLight: ['#ffffff', '#292929'],
    };
    for (const [theme, [background, text]] of Object.entries(themes)) {
      let before = 0;
      for (let step = 1; step <= STEPS; step++) {
        const color = contributes.colors.find(({ id }) => id === `attentionInspector.mass${step}`)!;
        const painted = over(color.defaults[theme]!, background!);
        const contrast = ratio(painted, rgb(text!));
        assert.ok(contrast >= 4.5, `step ${step} in ${theme}: text has ${contrast.toFixed(2)}`);
        const visible = ratio(painted, rgb(background!));
        assert.ok(visible > before, `step ${step} in ${theme} stands out more than the one before`);
        before = visible;
      }
    }
  });

  it('keeps text readable on the largest loss change, in every kind of theme', () => {
    const themes = {
      dark: '#cccccc',
      light: '#3b3b3b',
      highContrast: '#ffffff',
      highContrastLight: '#292929',
    };
    const backgrounds = {
      dark: '#1f1f1f',
      light: '#ffffff',
      highContrast: '#000000',
      highContrastLight: '#ffffff',
    };
    for (const direction of ['worse', 'better'])
      for (const [theme, text] of Object.entries(themes)) {
        const background = backgrounds[theme as keyof typeof themes];
        let before = 1;
        for (let step = 1; step <= CHANGE_STEPS; step++) {
          const id = `attentionInspector.${direction}${step}`;
          const color = contributes.colors.find(one => one.id === id)!;
          const painted = over(color.defaults[theme]!, background);
          assert.ok(ratio(painted, rgb(text)) >= 4.5, `${id} in ${theme}`);
          assert.ok(ratio(painted, rgb(background)) > before, `${id} in ${theme} stands out more`);
          before = ratio(painted, rgb(background));
        }
      }
  });
});

type Rgb = [number, number, number];

function rgb(hex: string): Rgb {
  return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16)) as Rgb;
}

/** A colour with alpha on an opaque one. */
function over(hex: string, background: string): Rgb {
  const alpha = parseInt(hex.slice(7, 9) || 'ff', 16) / 255;
  const below = rgb(background);
  return rgb(hex).map((value, i) => value * alpha + below[i]! * (1 - alpha)) as Rgb;
}

/** Contrast ratio after WCAG 2.1. */
function ratio(a: Rgb, b: Rgb): number {
  const luminance = (color: Rgb) => {
    const [r, g, bl] = color.map(value => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    }) as Rgb;
    return 0.2126 * r + 0.7152 * g + 0.0722 * bl;
  };
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}
