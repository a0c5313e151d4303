/** What a user may be told: one sentence of at most 300 characters, in our words and not in those of JavaScript. */
export const isOneSentence = (text: string): boolean =>
  text.length <= 300 && /^\S.*\.$/.test(text) && !/[.!?]\s/.test(text) && !OF_JAVASCRIPT.test(text);

const OF_JAVASCRIPT =
  /Cannot (read|set) propert|is not (a function|iterable|a constructor|defined)\b|\[object |of undefined|Maximum call stack|Invalid (array|typed array|string) length/;
