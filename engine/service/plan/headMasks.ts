/** What the heads of a plan see on the analysed text, for exports that others run. */
import type { Analysis, CoreTensors } from '../analysis';
import { byCore } from '../changedRun';
import { visibleKeys, type CoreInput } from '../../attention/core';
import type { HeadMask } from '../../attention/mask';
import type { Attended } from '../../attention/mechanism';
import { findMechanism } from '../../attention/registry';
import type { CoreMasks } from '../../export/headMasks';
import type { HeadAssignment, Setting } from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import { DENSE as DENSE_SETTING } from '../../../shared/setting';

/** What lists of single pairs may take, all heads together: a bit for each query and key, which grows as the square. */
const PAIR_BYTES = 2 ** 26;
const TOO_MANY: HeadMask = {
  kind: 'none',
  reason: 'the text is too long to list the pairs of so many heads',
};

/** Every core with a mask for every head; heads that the plan does not name are dense. */
export async function headMasks(
  analysis: Analysis,
  heads: readonly HeadAssignment[],
  signal: AbortSignal,
  pairBytes = PAIR_BYTES,
): Promise<CoreMasks[]> {
  const assigned = byCore(analysis.model.info.cores, heads);
  let left = pairBytes;
  const cores: CoreMasks[] = [];
  const visit = async (core: number, { input }: CoreTensors) => {
    const { info } = analysis.core(core).result;
    const masks: CoreMasks['heads'] = [];
    for (const [head, choice] of assigned[info.core]!.entries()) {
      await checkpoint(signal);
      let mask = choice ? await headMask(analysis, choice, info.core, head, input, signal) : DENSE;
      if (mask.kind === 'pairs') {
        if (mask.bits.length > left) mask = TOO_MANY;
        else left -= mask.bits.length;
      }
      const named = choice ?? DENSE_SETTING;
      masks.push({ head, choice: named, title: findMechanism(named.name).info.title, mask });
    }
    const { mask } = input.rule;
    cores.push({ info, mask, queries: input.queries, keys: input.keys, heads: masks });
  };
  await analysis.visitAlone([...analysis.cores.keys()], visit, signal);
  return cores;
}

const DENSE: HeadMask = { kind: 'dense' };

/** The mechanism's rule, or its tables of this text, or the pairs that it kept one by one. */
async function headMask(
  analysis: Analysis,
  choice: Setting,
  core: number,
  head: number,
  input: CoreInput,
  signal: AbortSignal,
): Promise<HeadMask> {
  const { name, params } = choice;
  const mechanism = findMechanism(name);
  if (mechanism.rule) return { kind: 'rule', rule: mechanism.rule(input, params) };
  await analysis.fitHead(choice, core, head, input, signal);
  const attended = await analysis.attendHead(choice, core, head, input, signal);
  if (attended.lse === null)
    return { kind: 'none', reason: `${name} does not choose among the model's own pairs` };
  if (mechanism.mask) return mechanism.mask(attended, input, params);
  if (attended.reweighted)
    return { kind: 'none', reason: `the weights of ${name} are no softmax over a set of pairs` };
  return pairs(attended, input);
}

function pairs(attended: Attended, input: CoreInput): HeadMask {
  const width = Math.ceil(input.keys / 8);
  const bits = new Uint8Array(input.queries * width);
  for (let query = 0; query < input.queries; query++) {
    const { from, to } = visibleKeys(input, query);
    for (const key of attended.row(0, query).keys) {
      if (key >= from && key < to) bits[query * width + (key >> 3)]! |= 1 << (key & 7);
    }
  }
  return { kind: 'pairs', bits };
}
