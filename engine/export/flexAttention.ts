/**
 * A plan as Python for PyTorch's FlexAttention (torch.nn.attention.flex_attention): a `mask_mod` for each core, with the heads'
 * parameters as tensors, and a `score_mod` where a span has a soft edge. Masks of rules hold for any text; those of hashing,
 * clusters and votes are the analysed text's own, as tables. What a mask cannot say is refused: the head stays dense, and the file says so.
 */
import type { ModelInfo } from '../../shared/protocol/engine';
import { chosenParams } from '../../shared/setting';
import type { TextFile } from './textFile';
import type { MaskRule } from '../attention/core';
import { ofOneLength, ofOneText, type HeadMask, type RingMask } from '../attention/mask';
import { rules } from './flexRules';
import { flagsOf, stacked, type Part } from './flexTables';
import type { CoreMasks, PlannedMask } from './headMasks';

export function flexAttention(model: ModelInfo, cores: readonly CoreMasks[]): TextFile {
  const notes = cores.flatMap(core => core.heads.flatMap(head => notesOn(core, head)));
  const text = [header(model, cores, notes), ...cores.map(layer), constants(cores), FOOTER];
  return { text: `${text.join('\n\n')}\n`, notes };
}

function notesOn({ info }: CoreMasks, { head, choice, mask }: PlannedMask): string[] {
  const where = `Core ${info.core}, head ${head}`;
  if (mask.kind === 'none') {
    return [`${where} stays dense: ${choice.name} cannot be written as a mask, as ${mask.reason}.`];
  }
  if (mask.kind === 'clusters' && mask.averaged) {
    return [
      `${where}: ${choice.name} averages over the clusters of a query that is in several; the mask joins them in one softmax.`,
    ];
  }
  return [];
}

/** What a model of shared queries and keys needs beside its masks: the plan was made with its own scores. */
function sharedKeys({ cores }: ModelInfo): string[] {
  const shared = cores.find(({ attention }) => attention?.native && attention.params['sharedQK'] === true);
  if (!shared) return [];
  const own = Number(shared.attention!.params['localHeads'] ?? 0);
  return [
    '',
    `The model shares queries and keys${own > 0 ? ` in all heads but the first ${own}` : ''}: their k are the queries at unit length, and score_mod takes 5e4 off`,
    'a token’s score with itself, so that it sees itself only where it sees nothing else.',
  ];
}

function header(model: ModelInfo, cores: readonly CoreMasks[], notes: readonly string[]): string {
  const tables = cores.flatMap(core => core.heads.filter(head => ofOneText(head.mask)));
  const titles = [...new Set(tables.map(({ title }) => title))];
  const lines = [
    `Attention masks of a plan for ${model.name}, for torch.nn.attention.flex_attention.`,
    'Made by Attention Inspector.',
    '',
    '    import flex_attention_plan as plan                     # the name of this file',
    '    mask = plan.block_mask(layer, tokens, device="cuda")   # once for each layer and length',
    '    out = plan.attend(layer, q, k, v, mask)                # q, k, v: [batch, heads, tokens, dim]',
    '',
    'For speed, before the first call: plan.flex_attention = torch.compile(plan.flex_attention, dynamic=False).',
    '',
    `A layer is an attention core of the model, in execution order: 0 to ${cores.length - 1}. Positions are counted from the start of`,
    'the text, so masks are for whole texts (prefill). Scale, bias and soft cap of the scores are the model’s own: pass its scale to',
    'attend, and put its bias (ALiBi, relative positions) into score_mod.',
    ...sharedKeys(model),
    ...(titles.length > 0
      ? [
          '',
          `TEXT-SPECIFIC: the tables of ${titles.join(', ')} were made from one text. They give the masks of that`,
          'text, and no other: on another text the mechanism would choose other pairs.',
        ]
      : []),
    ...(notes.length > 0 ? ['', 'Not exactly as planned:', ...notes.map(note => `* ${note}`)] : []),
  ];
  // Nothing that a model is called can end the text.
  const quoted = lines.join('\n').replace(/\\/g, '\\\\').replace(/"""/g, "'''");
  return `"""${quoted}\n"""
import base64
import zlib

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention


def table(dtype, shape, data):
    raw = bytearray(zlib.decompress(base64.b64decode(data)))
    return torch.frombuffer(raw, dtype=dtype).reshape(shape)`;
}

function constants(cores: readonly CoreMasks[]): string {
  const tables = cores.filter(core => core.heads.some(head => ofOneLength(head.mask)));
  return [
    `LAYERS = [${cores.map(({ info }) => `layer_${info.core}`).join(', ')}]`,
    `HEADS = [${cores.map(({ heads }) => heads.length).join(', ')}]`,
    `TABLE_TOKENS = {${tables.map(({ info, keys }) => `${info.core}: ${keys}`).join(', ')}}`,
  ].join('\n');
}

const FOOTER = `def block_mask(layer, tokens, device="cuda"):
    mask_mod, _ = LAYERS[layer](device)
    if layer in TABLE_TOKENS and tokens != TABLE_TOKENS[layer]:
        raise ValueError(f"layer {layer} has tables that were made for {TABLE_TOKENS[layer]} tokens")
    return create_block_mask(mask_mod, None, HEADS[layer], tokens, tokens, device=device)


def attend(layer, q, k, v, mask, scale=None):
    _, score_mod = LAYERS[layer](q.device)
    grouped = q.shape[1] != k.shape[1]
    return flex_attention(q, k, v, score_mod=score_mod, block_mask=mask, scale=scale, enable_gqa=grouped)`;

const nearOrFirst = ({ first, before, after }: NonNullable<MaskRule['streaming']>): string =>
  `(kv_idx < ${first}) | ((distance <= ${before}) & (distance >= -${after}))`;

/** One function that makes the tensors and gives mask_mod and score_mod (or None). */
function layer(core: CoreMasks): string {
  const parts = PARTS.flatMap(part => part(core.heads, core));
  const score = softEdge(core);
  const { causal, window, chunk, streaming } = core.mask;
  const shift = core.keys - core.queries;
  const model = [
    ...(causal ? ['distance >= 0'] : []),
    ...(window ? [`distance <= ${window.before}`, `distance >= -${window.after}`] : []),
    ...(streaming ? [nearOrFirst(streaming)] : []),
    ...(chunk === undefined ? [] : [`position // ${chunk} == kv_idx // ${chunk}`]),
  ];
  const body = [
    ...parts.flatMap(part => part.tensors),
    ...score.tensors,
    '',
    'def mask_mod(b, h, q_idx, kv_idx):',
    `    position = q_idx${shift > 0 ? ` + ${shift}` : ''}`,
    '    distance = position - kv_idx',
    '    apart = distance.abs()',
    `    keep = ${parts[0]!.keep}`,
    ...parts.slice(1).map(part => `    keep = keep | ${part.keep}`),
    `    return ${['keep', ...model.map(condition => `(${condition})`)].join(' & ')}`,
    '',
    ...score.functions,
    `return mask_mod, ${score.functions.length > 0 ? 'score_mod' : 'None'}`,
  ];
  const described = core.heads.map(({ head, choice }) => {
    const params = Object.entries(chosenParams(choice)).map(([name, value]) => `${name}=${value}`);
    return `head ${head}: ${[choice.name, ...params].join(' ')}`.replace(/\s/g, ' ');
  });
  return [
    `def layer_${core.info.core}(device="cpu"):`,
    `    # ${core.info.kind} attention, layer ${core.info.layer}`,
    ...described.map(line => `    # ${line}`),
    ...body.map(line => (line ? `    ${line}` : '')),
  ].join('\n');
}

type Kind<K extends HeadMask['kind']> = Extract<HeadMask, { kind: K }>;

/** The masks of one kind by head. */
function only<K extends HeadMask['kind']>(
  heads: readonly PlannedMask[],
  kind: K,
): { head: number; mask: Kind<K> }[] {
  return heads.flatMap(({ head, mask }) => (mask.kind === kind ? [{ head, mask: mask as Kind<K> }] : []));
}

/** One number per head, `otherwise` for heads of other kinds. */
function perHead<K extends HeadMask['kind']>(
  name: string,
  heads: readonly PlannedMask[],
  kind: K,
  value: (mask: Kind<K>) => number,
  otherwise: number,
): string {
  const values = heads.map(({ mask }) => (mask.kind === kind ? value(mask as Kind<K>) : otherwise));
  return `${name} = torch.tensor([${values.join(', ')}], device=device)`;
}

/** Heads with tables: where each one's lie, and `-1` elsewhere (`own` is false there). */
function slots(name: string, heads: readonly PlannedMask[], kind: HeadMask['kind']): string[] {
  let next = 0;
  const at = heads.map(({ mask }) => (mask.kind === kind ? next++ : -1));
  return [
    `${name} = torch.tensor([${at.map(slot => Math.max(0, slot)).join(', ')}], device=device)`,
    `${name}_own = torch.tensor([${at.map(slot => (slot >= 0 ? 'True' : 'False')).join(', ')}], device=device)`,
  ];
}

const PARTS: ((heads: readonly PlannedMask[], core: CoreMasks) => Part[])[] = [
  heads => [
    {
      tensors: [
        `dense = torch.tensor([${heads.map(({ mask }) => (mask.kind === 'dense' || mask.kind === 'none' ? 'True' : 'False')).join(', ')}], device=device)`,
      ],
      keep: 'dense[h]',
    },
  ],
  heads => rules(heads),
  heads =>
    only(heads, 'soft').length === 0
      ? []
      : [
          {
            tensors: [
              perHead('soft_reach', heads, 'soft', ({ span, ramp }) => Math.ceil(span + ramp) - 1, -1),
            ],
            keep: '(apart <= soft_reach[h])',
          },
        ],
  (heads, core) => blocks(heads, core),
  (heads, core) => lines(heads, core),
  heads => rings(heads),
  heads => clusters(heads),
  (heads, core) => pairs(heads, core),
];

function blocks(heads: readonly PlannedMask[], { keys }: CoreMasks): Part[] {
  const found = only(heads, 'blocks');
  if (found.length === 0) return [];
  const most = Math.max(...found.map(({ mask }) => Math.sqrt(mask.seen.length)));
  // Heads may have blocks of different sizes: their tables are made equally large.
  const padded = found.map(({ mask }) => {
    const count = Math.sqrt(mask.seen.length);
    const table = new Uint8Array(most * most);
    for (let b = 0; b < count; b++) table.set(mask.seen.subarray(b * count, (b + 1) * count), b * most);
    return table;
  });
  return [
    {
      tensors: [
        ...slots('block_slot', heads, 'blocks'),
        // Elsewhere one block holds all.
        perHead('block', heads, 'blocks', mask => mask.block, keys),
        stacked('block_seen', padded, [most, most]),
      ],
      keep: '(block_slot_own[h] & (block_seen[block_slot[h], position // block[h], kv_idx // block[h]] > 0))',
    },
  ];
}

function lines(heads: readonly PlannedMask[], { keys }: CoreMasks): Part[] {
  const found = only(heads, 'lines');
  if (found.length === 0) return [];
  return [
    {
      tensors: [
        ...slots('line_slot', heads, 'lines'),
        stacked(
          'columns',
          found.map(({ mask }) => flagsOf(mask.columns, keys)),
          [keys],
        ),
        stacked(
          'diagonals',
          found.map(({ mask }) => flagsOf(mask.diagonals, keys)),
          [keys],
        ),
      ],
      keep:
        '(line_slot_own[h] & ((columns[line_slot[h], kv_idx] > 0)' +
        ` | ((distance >= 0) & (diagonals[line_slot[h], distance.clamp(0, ${keys - 1})] > 0))))`,
    },
  ];
}

/** Heads that hash with the same number of rounds share their tables. */
function rings(heads: readonly PlannedMask[]): Part[] {
  const found = only(heads, 'ring');
  const groups = new Map<string, { head: number; mask: RingMask }[]>();
  for (const each of found) {
    const key = `${each.mask.rounds}${each.mask.buckets ? '_own' : ''}`;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups].map(([key, group]) => {
    const { rounds, places, first, buckets } = group[0]!.mask;
    const name = `ring${key}`;
    const of = heads.map(each => ({
      ...each,
      mask: group.some(g => g.head === each.head) ? each.mask : ({ kind: 'dense' } as const),
    }));
    const [keys, queries] = [places.length / rounds, first.length / rounds];
    const table = (what: string, data: (mask: RingMask) => Int32Array, tokens: number) =>
      stacked(
        `${name}_${what}`,
        group.map(({ mask }) => data(mask)),
        [rounds, tokens],
      );
    const tensors = [
      ...slots(`${name}_slot`, of, 'ring'),
      table('places', mask => mask.places, keys),
      table('first', mask => mask.first, queries),
      table('end', mask => mask.end, queries),
      table('wrap', mask => mask.wrap, queries),
      ...(buckets
        ? [
            table('query_buckets', mask => mask.buckets!.queries, queries),
            table('key_buckets', mask => mask.buckets!.keys, keys),
          ]
        : []),
    ];
    const slot = `${name}_slot[h]`;
    const seen: string[] = [];
    for (let r = 0; r < rounds; r++) {
      for (let other = 0; other < rounds; other++) {
        if (buckets && other !== r) continue;
        const place = `${name}_places[${slot}, ${other}, kv_idx]`;
        const at = (what: string) => `${name}_${what}[${slot}, ${r}, q_idx]`;
        const near = `(((${place} >= ${at('first')}) & (${place} < ${at('end')})) | (${place} >= ${at('wrap')}))`;
        const same = `(${name}_query_buckets[${slot}, ${r}, q_idx] == ${name}_key_buckets[${slot}, ${r}, kv_idx])`;
        seen.push(buckets ? `(${near} & ${same})` : near);
      }
    }
    return { tensors, keep: `(${name}_slot_own[h] & (${seen.join(' | ')}))` };
  });
}

function clusters(heads: readonly PlannedMask[]): Part[] {
  const found = only(heads, 'clusters');
  if (found.length === 0) return [];
  const words = Math.max(...found.map(({ mask }) => mask.words));
  const widened = (data: Int32Array, from: number) => {
    const tokens = data.length / from;
    const result = new Int32Array(tokens * words);
    for (let i = 0; i < tokens; i++) result.set(data.subarray(i * from, (i + 1) * from), i * words);
    return result;
  };
  const together = (w: number) =>
    `((query_clusters[cluster_slot[h], q_idx, ${w}] & key_clusters[cluster_slot[h], kv_idx, ${w}]) != 0)`;
  const table = (name: string, pick: (mask: Kind<'clusters'>) => Int32Array) => {
    const data = found.map(({ mask }) => widened(pick(mask), mask.words));
    return stacked(name, data, [data[0]!.length / words, words]);
  };
  return [
    {
      tensors: [
        ...slots('cluster_slot', heads, 'clusters'),
        table('query_clusters', mask => mask.queries),
        table('key_clusters', mask => mask.keys),
      ],
      keep: `(cluster_slot_own[h] & (${Array.from({ length: words }, (_, w) => together(w)).join(' | ')}))`,
    },
  ];
}

function pairs(heads: readonly PlannedMask[], { queries, keys }: CoreMasks): Part[] {
  const found = only(heads, 'pairs');
  if (found.length === 0) return [];
  const bits = found.map(({ mask }) => mask.bits);
  return [
    {
      tensors: [
        ...slots('pair_slot', heads, 'pairs'),
        stacked('pairs', bits, [queries, Math.ceil(keys / 8)]),
      ],
      keep: '(pair_slot_own[h] & (((pairs[pair_slot[h], q_idx, kv_idx // 8] >> (kv_idx % 8)) & 1) > 0))',
    },
  ];
}

/** log of the soft mask, added to the scores. */
function softEdge({ heads, queries, keys }: CoreMasks): { tensors: string[]; functions: string[] } {
  if (only(heads, 'soft').length === 0) return { tensors: [], functions: [] };
  const position = keys > queries ? `q_idx + ${keys - queries}` : 'q_idx';
  return {
    tensors: [
      perHead('span', heads, 'soft', mask => mask.span, 0),
      perHead('ramp', heads, 'soft', mask => mask.ramp, 1),
      perHead('soft', heads, 'soft', () => 1, 0),
    ],
    functions: [
      'def score_mod(score, b, h, q_idx, kv_idx):',
      `    edge = ((ramp[h] + span[h] - (${position} - kv_idx).abs()) / ramp[h]).clamp(0, 1)`,
      '    return torch.where(soft[h] > 0, score + torch.log(edge), score)',
      '',
    ],
  };
}
