/**
 * A plan as the head file of DuoAttention (Xiao et al., 2024): layers x key/value heads, tab-separated, 1 = full attention, 0 = streaming
 * (first tokens and a recent window). A streaming head gets the share of its mass that it loses, so that a threshold can move; a head
 * that needs far keys in another way is full.
 */
import { RefusedError } from '../errors';
import type { ModelInfo, PlannedHead } from '../../shared/protocol/engine';
import type { HeadMask } from '../attention/mask';
import type { CoreMasks } from './headMasks';
import { checkFormat } from './planFormat';
import { streamOf } from './ruleShape';
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { DENSE } from '../../shared/setting';
import type { WrittenFile } from './textFile';

export function duoAttention(
  model: ModelInfo,
  cores: readonly CoreMasks[],
  planned: readonly Pick<PlannedHead, 'core' | 'head' | 'recall'>[],
): WrittenFile {
  checkFormat(model, 'duo');
  const widths = new Set(cores.map(({ info }) => info.kvHeads));
  if (widths.size > 1)
    throw new RefusedError('DuoAttention needs the same number of key/value heads in every layer.');
  let sinks = 0;
  let recent = 0;
  const full = new Set<string>();
  const fullGroups: boolean[][] = [];
  const rows = cores.map(({ info, heads }) => {
    const values = new Array<number>(info.kvHeads).fill(0);
    for (const { head, choice, mask } of heads) {
      const stream = streaming(mask);
      let value = 1;
      if (stream) {
        sinks = Math.max(sinks, stream.sinks);
        recent = Math.max(recent, stream.recent);
        const found = planned.find(one => one.core === info.core && one.head === head);
        value = Math.min(1, Math.max(0, 1 - (found?.recall ?? 0)));
      } else if (mask.kind !== 'dense') {
        full.add(choice.name);
      }
      const kv = Math.floor((head * info.kvHeads) / info.heads);
      values[kv] = Math.max(values[kv]!, value);
    }
    fullGroups.push(values.map(value => value === 1));
    return values.map(value => Number(value.toPrecision(6))).join('\t');
  });
  const streamed = () => settingOf(findMechanism('streaming').info, { sinks, window: Math.max(1, recent) });
  const written = cores.flatMap(({ info, heads }, at) =>
    heads.map(({ head }) => ({
      core: info.core,
      head,
      choice: fullGroups[at]![Math.floor((head * info.kvHeads) / info.heads)] ? DENSE : streamed(),
    })),
  );
  const notes = [
    `Not written with it, but read beside it as config.json: {"sink_size": ${sinks}, "recent_size": ${recent}}.`,
  ];
  if (full.size > 0) notes.push(`Written as full attention, being no window: ${[...full].join(', ')}.`);
  if (cores.some(({ info }) => info.kvHeads < info.heads)) {
    notes.push('Heads that share keys and values are written as one: full as soon as one of them is.');
  }
  return { text: `${rows.join('\n')}\n`, notes, written };
}

/** First tokens and recent tokens of a mask that is nothing else; null for all others. */
function streaming(mask: HeadMask): { sinks: number; recent: number } | null {
  if (mask.kind === 'soft') return { sinks: 0, recent: Math.ceil(mask.span + mask.ramp) };
  const stream = mask.kind === 'rule' ? streamOf(mask.rule) : null;
  return stream?.leftOut === 0 ? stream : null;
}
