import type { CoreInfo, MechanismParams, MemoryLens, Setting } from '../../shared/protocol/engine';
import { ownSetting } from '../../shared/native';
import { numberOf, settingOf } from '../../shared/setting';
import type { Attended } from '../attention/attended';
import { compressive } from '../attention/mechanisms/compressive';
import { mechanismInfos } from '../attention/registry';
import { refused } from '../errors';
import { checkpoint } from '../runtime/cancellation';
import { floats } from '../runtime/tensor';
import type { Analysis } from '../service/analysis';
import type { Lens } from './lens';

/** Queries of each head whose mass is told by compartment, evenly spaced; and of the head whose slots are told. */
const ROWS = 64;
const ROWS_OF_SLOTS = 256;

interface Layout {
  segment: number;
  memory: number;
  compressed: number;
  rate: number;
}

/**
 * What a segment sees of the past (Rae et al. 2020; Dai et al. 2019): the mass of each head on the segment itself, on the memory and on the compressed
 * memory, what the slots of the latter stand for, and how far attention over them is from attention over their tokens. Of a model that was
 * made with a memory it is its own; of any other a what-if, whose slots are means.
 */
export const memory: Lens<'memory'> = {
  name: 'memory',
  title: 'Memory',
  paper: 'Rae et al., Compressive Transformers for Long-Range Sequence Modelling, 2020, sections 3 and 4.5',
  parameters: ['segment', 'memory', 'compressed', 'rate'].map(name => {
    const info = compressive.info.parameters.find(p => p.name === name)!;
    return info.default === null ? { ...info, default: 128 } : info;
  }),

  async look(analysis, params, { core, head, signal, onProgress }): Promise<MemoryLens> {
    const { cores } = analysis.model.info;
    const own = ownMemory(cores[core]!);
    const setting = own ?? settingOf(compressive.info, params);
    const layout = layoutOf(analysis.settled(setting, core));
    const queries = analysis.core(core).outline.queries;
    const from = firstThatRemembers(queries, layout);
    if (from === null) throw refused('noMemory', layout.segment);
    const alike = cores.filter(c => (own ? ownMemory(c)?.key === own.key : c.kind === cores[core]!.kind));
    const found: MemoryLens['cores'] = [];
    let slots: MemoryLens['slots'] = [];
    const visit = async (at: number, { input }: { input: Parameters<Analysis['attendLocally']>[2] }) => {
      await checkpoint(signal);
      onProgress(found.length / alike.length);
      const attended = await analysis.attendLocally(setting, at, input, signal);
      found.push({ core: at, heads: headsOf(attended, input.heads, { from, to: queries }, layout) });
      if (at === core) slots = slotsOf(attended, head, queries, layout);
    };
    await analysis.visit(
      alike.map(c => c.core),
      visit,
      signal,
    );
    return {
      lens: 'memory',
      core,
      head,
      native: own !== null,
      tokens: queries,
      from,
      ...layout,
      cores: found,
      slots,
    };
  },
};

/** The setting of a core that was made with a memory; null for others. */
function ownMemory(core: CoreInfo): Setting | null {
  const { native = false, name = '' } = core.attention ?? {};
  return native && ['compressive', 'transformer-xl'].includes(name) ? ownSetting(core, mechanismInfos) : null;
}

/** Transformer-XL compresses nothing. */
const layoutOf = (settled: MechanismParams): Layout => ({
  segment: numberOf(settled, 'segment'),
  memory: numberOf(settled, 'memory'),
  compressed: 'compressed' in settled ? numberOf(settled, 'compressed') : 0,
  rate: 'rate' in settled ? numberOf(settled, 'rate') : 1,
});

/** The first query that sees a slot, or where none does one that sees the memory; null = the text is too short for either. */
function firstThatRemembers(queries: number, { segment, memory, compressed, rate }: Layout): number | null {
  const after = (old: number) => Math.ceil(old / segment) * segment;
  const candidates = [...(compressed > 0 ? [after(memory + rate)] : []), ...(memory > 0 ? [segment] : [])];
  return candidates.find(query => query < queries) ?? null;
}

/** `count` of the queries from .. to-1, evenly spaced; all where there are no more. */
function spread({ from, to }: { from: number; to: number }, count: number): number[] {
  const rows = Math.min(to - from, count);
  return Array.from({ length: rows }, (_, t) => from + Math.floor(((t + 0.5) * (to - from)) / rows));
}

function headsOf(
  attended: Attended,
  heads: number,
  range: { from: number; to: number },
  { segment, memory }: Layout,
): MemoryLens['cores'][number]['heads'] {
  const errors = attended.extra['attention_reconstruction'];
  const rows = spread(range, ROWS);
  return Array.from({ length: heads }, (_, head) => {
    const mass = { segment: 0, memory: 0, compressed: 0 };
    for (const query of rows) {
      const start = query - (query % segment);
      const { keys, weights } = attended.row(head, query);
      keys.forEach((key, t) => {
        const place = key >= start ? 'segment' : key >= start - memory ? 'memory' : 'compressed';
        mass[place] += weights[t]! / rows.length;
      });
    }
    const reconstruction = errors && mass.compressed > 0 ? floats(errors)[head]! : null;
    return { head, ...mass, reconstruction };
  });
}

/** The slots that the last segment sees, in the order of the text: the mass that its queries give each, and who gives most. */
function slotsOf(
  attended: Attended,
  head: number,
  queries: number,
  { segment, memory, compressed, rate }: Layout,
): MemoryLens['slots'] {
  const start = Math.floor((queries - 1) / segment) * segment;
  const all = Math.floor(Math.max(0, start - memory) / rate);
  const first = Math.max(0, all - compressed);
  const slots = Array.from({ length: all - first }, (_, s) => ({
    ...{ from: (first + s) * rate, to: (first + s + 1) * rate },
    ...{ mass: 0, query: start, most: 0 },
  }));
  const rows = spread({ from: start, to: queries }, ROWS_OF_SLOTS);
  for (const query of slots.length > 0 ? rows : []) {
    const { keys, weights } = attended.row(head, query);
    const given = new Float64Array(slots.length);
    keys.forEach((key, t) => {
      const slot = Math.floor(key / rate) - first;
      if (key < all * rate && slot >= 0) given[slot]! += weights[t]!;
    });
    given.forEach((mass, s) => {
      const slot = slots[s]!;
      slot.mass += mass / rows.length;
      if (mass > slot.most) Object.assign(slot, { query, most: mass });
    });
  }
  return slots;
}
