import type { NamedText } from '../../engine/service/plan/texts';

/** Of so many words in a row a version has one changed. */
const ONE_IN = 100;

/** Texts that nearly repeat one, each with other words changed. */
export const versionsOf = ({ name, text }: NamedText, count: number): NamedText[] =>
  Array.from({ length: count }, (_, version) => {
    let words = 0;
    const changed = text.replace(/\S+/g, word =>
      words++ % ONE_IN === (version * 7) % ONE_IN ? `v${version}` : word,
    );
    return { name: `${name} (version ${version + 1})`, text: changed };
  });
