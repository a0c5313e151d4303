/** Rules of masks as Python conditions on `position`, `kv_idx` and `apart`, and the tensors of their numbers. */
import type { PairRule } from '../attention/mask';
import type { PlannedMask } from './headMasks';
import { flagsOf, stacked, type Part } from './flexTables';

/** Heads whose rules are written alike share an expression; the numbers in it are tensors over the heads. */
export function rules(heads: readonly PlannedMask[]): Part[] {
  const groups = new Map<string, Map<number, Constant[]>>();
  for (const { head, mask } of heads) {
    if (mask.kind !== 'rule') continue;
    const constants: Constant[] = [];
    const text = written(mask.rule, constants);
    groups.set(text, (groups.get(text) ?? new Map<number, Constant[]>()).set(head, constants));
  }
  return [...groups].map(([text, group], at) => {
    const own = heads.map(({ head }) => (group.has(head) ? 'True' : 'False'));
    const names = [...group.values()][0]!.map(({ what }, t) => `rule${at}_${what}${t}`);
    return {
      tensors: [
        `rule${at} = torch.tensor([${own.join(', ')}], device=device)`,
        ...names.map((name, t) =>
          overHeads(
            name,
            heads.map(({ head }) => group.get(head)?.[t]?.value),
          ),
        ),
      ],
      keep: `(rule${at}[h] & ${text.replace(/#(\d+)/g, (_, t: string) => names[Number(t)]!)})`,
    };
  });
}

interface Constant {
  what: string;
  value: number | readonly number[];
}

/** `#0`, `#1`, ... stand for the tensors of the constants. */
function written(rule: PairRule, constants: Constant[]): string {
  const tensor = (what: string, value: Constant['value']) => `#${constants.push({ what, value }) - 1}`;
  const number = (what: string, value: number) => `${tensor(what, value)}[h]`;
  const listed = (what: string, tokens: readonly number[], index: string) => {
    const flags = tensor(what, tokens);
    return `(${flags}[h, ${index}.clamp(max=${flags}.shape[1] - 1)] > 0)`;
  };
  const parts = (list: readonly PairRule[], operator: string) =>
    `(${list.map(part => written(part, constants)).join(operator)})`;
  if ('any' in rule) return parts(rule.any, ' | ');
  if ('all' in rule) return parts(rule.all, ' & ');
  if ('near' in rule) return `(apart <= ${number('near', rule.near)})`;
  if ('every' in rule) return `(apart % ${number('every', rule.every)} == 0)`;
  if ('block' in rule) {
    const block = number('block', rule.block);
    return `(position // ${block} == kv_idx // ${block})`;
  }
  if ('tail' in rule) {
    const of = number('of', rule.of);
    return `(kv_idx % ${of} >= ${of} - ${number('tail', rule.tail)})`;
  }
  if ('first' in rule) return `(kv_idx < ${number('first', rule.first)})`;
  return 'keys' in rule ? listed('keys', rule.keys, 'kv_idx') : listed('queries', rule.queries, 'position');
}

/** A number, or a list of tokens, for each head; heads without one get what divides and finds nothing. */
function overHeads(name: string, values: readonly (Constant['value'] | undefined)[]): string {
  const lists = values.map(value => (typeof value === 'object' ? value : []));
  if (values.every(value => typeof value !== 'object')) {
    return `${name} = torch.tensor([${values.map(value => value ?? 1).join(', ')}], device=device)`;
  }
  // One entry more than the last of them, for all tokens behind.
  const size = 2 + Math.max(-1, ...lists.flat());
  return stacked(
    name,
    lists.map(list => flagsOf(list, size)),
    [size],
  );
}
