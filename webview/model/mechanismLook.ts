import type { Setting, MechanismInfo } from '../../shared/protocol/engine';
import { contrast, mix, parseColour, type Rgb, type ThemeColours } from '../draw/colour';
import { number } from '../../shared/numbers';
import { words } from './parameters';
import { chosenParams } from '../../shared/setting';

const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

export interface MechanismLook {
  fill: Rgb;
  /** For words on `fill`. */
  text: Rgb;
  /** Stands for the mechanism where its title has no room: colour is never alone. */
  label: string;
}

/** The colour of a mechanism, the same in every figure. What has no hue is grey, as dense. */
export function mechanismLook(
  name: string,
  infos: readonly Pick<MechanismInfo, 'name' | 'label' | 'hue' | 'pale'>[],
  theme: Pick<ThemeColours, 'background' | 'foreground'>,
): MechanismLook {
  const { label = name, hue = null, pale } = infos.find(info => info.name === name) ?? {};
  const own = hue === null ? null : parseColour(hue);
  const fill = own
    ? pale
      ? mix(own, theme.background, 0.45)
      : own
    : mix(theme.background, theme.foreground, 0.22);
  return { fill, text: contrast(fill, BLACK) >= contrast(fill, WHITE) ? BLACK : WHITE, label };
}

/** "Local window", as the engine names it to people. */
export function mechanismTitle(
  name: string,
  infos: readonly Pick<MechanismInfo, 'name' | 'title'>[],
): string {
  return infos.find(info => info.name === name)?.title ?? name;
}

/** Titles for a list of settings; those that are alike also say their parameters. */
export function settingTitles(
  choices: readonly Setting[],
  infos: readonly Pick<MechanismInfo, 'name' | 'title' | 'parameters'>[],
): string[] {
  return choices.map(choice => {
    const title = mechanismTitle(choice.name, infos);
    const namesakes = choices.filter(other => other.name === choice.name);
    if (namesakes.length < 2) return title;
    const known = infos.find(info => info.name === choice.name)?.parameters;
    const params = Object.entries(chosenParams(choice)).filter(
      ([name, value]) =>
        namesakes.some(other => other.params[name] !== value) &&
        known?.find(p => p.name === name)?.default !== value,
    );
    return [title, ...params.map(([name, value]) => `${words(name)} ${value}`)].join(', ');
  });
}

/** "window 64, rounds 2": only what differs from the mechanism's defaults when they are known, everything otherwise. */
export function parameterWords(choice: Setting, info?: MechanismInfo): string {
  const told = Object.entries(chosenParams(choice)).filter(([name, value]) => {
    const known = info?.parameters.find(p => p.name === name);
    return known?.default !== value;
  });
  return told
    .map(([name, value]) => `${words(name)} ${typeof value === 'number' ? number(value) : value}`)
    .join(', ');
}
