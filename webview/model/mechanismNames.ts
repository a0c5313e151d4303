import type { Setting } from '../../shared/protocol/engine';
import { AUTO } from '../../shared/setting';

/** Names for a list of mechanisms: with the parameters in which those of the same name differ. */
export function mechanismNames(choices: readonly Setting[]): string[] {
  return choices.map(choice => {
    const namesakes = choices.filter(c => c.name === choice.name);
    const names = new Set(namesakes.flatMap(c => Object.keys(c.params)));
    const telling = [...names].filter(n => new Set(namesakes.map(c => c.params[n])).size > 1);
    const params = telling.filter(n => choice.params[n] !== AUTO).map(n => `${n}=${choice.params[n]}`);
    return [choice.name, ...params].join(' ');
  });
}
