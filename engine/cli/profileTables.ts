/** What the command line prints of a profile. */
import { withAll } from '../corpus/tables';
import { headKey, type Corpus, type HeadKey } from '../corpus/corpus';
import type { Distribution } from '../corpus/distribution';
import { missingWords } from '../corpus/parts';
import { plainPercent } from '../../shared/numbers';
import { formatTable, signed } from './tables';

export function formatProfile(corpus: Corpus): string {
  const all = new Map<HeadKey, Map<string, Distribution>>();
  for (const { head, over, measure, facet, distribution } of withAll(corpus)) {
    if (facet !== 'all') continue;
    if (!all.has(head)) all.set(head, new Map());
    all.get(head)!.set(`${over} ${measure}`, distribution);
  }
  const texts = [...corpus.texts.values()];
  const failed = texts.filter(text => text.failed !== null);
  const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
  const lines = [
    `model     ${corpus.settings.model}`,
    `texts     ${texts.length - failed.length} profiled, ${tokens.toLocaleString('en-US')} tokens, ${failed.length} skipped`,
    ...corpus.parts.map(part => `missing   ${missingWords(part)}`),
    ...modelLines(all.get('model') ?? new Map()),
  ];
  return [lines.join('\n'), formatHeads(corpus, all)].join('\n\n');
}

function modelLines(measures: ReadonlyMap<string, Distribution>): string[] {
  return [...measures].flatMap(([name, { mean, interval }]) => {
    const [measure, mechanism] = name.replace(/^texts /, '').split(': ');
    const between = interval ? ` (${signed(interval.low)} to ${signed(interval.high)})` : '';
    if (measure === 'loss') return [`loss      ${mean.toFixed(3)} nats per token, mean over texts`];
    if (measure === 'lossChange') return [`change    ${signed(mean)}${between} nats per token: ${mechanism}`];
    return [];
  });
}

function formatHeads(corpus: Corpus, all: ReadonlyMap<HeadKey, ReadonlyMap<string, Distribution>>): string {
  const held = new Map<HeadKey, Map<string, number>>();
  for (const { head, role, facet, texts } of corpus.eachRole()) {
    if (!facet.startsWith('kind:')) continue;
    if (!held.has(head)) held.set(head, new Map());
    held.get(head)!.set(role, (held.get(head)!.get(role) ?? 0) + texts);
  }
  const of = corpus.textsOf('all');
  const rows = corpus.cores.flatMap(({ core, layer, heads }) =>
    Array.from({ length: heads }, (_, head) => {
      const key = headKey(core, head);
      return { layer, head, key, measures: all.get(key) ?? new Map<string, Distribution>() };
    }),
  );
  type Line = (typeof rows)[number];
  const quantiles = (measure: string, digits: number) => (line: Line) => {
    const found = line.measures.get(`queries ${measure}`);
    if (!found) return '-';
    return [0.05, 0.5, 0.95].map(share => found.quantile(share).toFixed(digits)).join(' / ');
  };
  return formatTable<Line>(
    [
      { title: 'layer', align: 'right', cell: line => String(line.layer) },
      { title: 'head', align: 'right', cell: line => String(line.head) },
      { title: 'entropy p5 / p50 / p95', align: 'right', cell: quantiles('entropy', 2) },
      { title: 'span95', align: 'right', cell: quantiles('span95', 0) },
      { title: 'one far key', align: 'right', cell: quantiles('farMass', 2) },
      {
        title: 'roles (share of texts)',
        cell: line =>
          [...(held.get(line.key) ?? [])]
            .sort((a, b) => b[1] - a[1])
            .slice(0, 3)
            .map(([role, texts]) => `${role} ${plainPercent(texts / of)}`)
            .join(', '),
      },
    ],
    rows,
  );
}
