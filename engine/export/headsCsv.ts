/** All head profiles as one table: `analyze --csv`. One line per head, every measure, and each mechanism's columns behind. */
import { mechanismInfos } from '../attention/registry';
import type {
  AnalysisSummary,
  CoreInfo,
  HeadComparison,
  HeadProfile,
  MechanismResult,
  Quantiles,
} from '../../shared/protocol/engine';
import { ROLES } from '../../shared/protocol/text';
import { csv, type CsvCell } from '../../shared/numbers';
import { nativeWords, standingWords } from '../../shared/native';
import { chosenParams } from '../../shared/setting';

type Compared = [title: string, value: (head: HeadComparison) => CsvCell];
type Column = [title: string, value: (head: HeadProfile) => CsvCell];

const quantiles = (name: string, of: (head: HeadProfile) => Quantiles): Column[] =>
  (['p5', 'p25', 'p50', 'p75', 'p95'] as const).map(q => [`${name} ${q} [tokens]`, head => of(head)[q]]);

const MEASURES: Column[] = [
  ['entropy [nats]', head => head.entropy],
  ['relative entropy', head => head.relativeEntropy],
  ['mean distance [tokens]', head => head.meanDistance],
  ['span90 [tokens]', head => head.span90],
  ['span95 [tokens]', head => head.span95],
  ['span99 [tokens]', head => head.span99],
  ...quantiles('span90', head => head.span90Quantiles),
  ...quantiles('span95', head => head.span95Quantiles),
  ...quantiles('span99', head => head.span99Quantiles),
  ...(['self', 'previous', 'next', 'first', 'separator', 'punctuation'] as const).map((name): Column => [
    `mass to ${name}`,
    head => head.to[name],
  ]),
  ['mass to the sink', head => head.to.sink],
  ['role', head => head.roles[0]?.role],
  ...ROLES.map((role): Column => [
    `role ${role}`,
    head => head.roles.find(score => score.role === role)?.score ?? 0,
  ]),
];

export function headsCsv({ cores, mechanisms, model }: AnalysisSummary): string {
  const header = ['core', 'kind', 'layer', 'head', 'attention', ...MEASURES.map(([title]) => title)];
  const columns = mechanisms.map(result => columnsOf(result, model.cores));
  header.push(...columns.flatMap(each => each.map(([title]) => title)));
  const rows = cores.flatMap(({ info, heads }) =>
    heads.map(head => [
      info.core,
      info.kind,
      info.layer,
      head.head,
      nativeWords(info.attention) ?? 'dense',
      ...MEASURES.map(([, value]) => value(head)),
      ...mechanisms.flatMap(({ heads: compared }, m) => {
        const found = compared.find(each => each.core === head.core && each.head === head.head);
        return columns[m]!.map(([, value]) => (found ? value(found) : null));
      }),
    ]),
  );
  return csv(header, rows);
}

function columnsOf(result: MechanismResult, cores: readonly CoreInfo[]): Compared[] {
  const name = nameOf(result);
  const words = `local ${standingWords(result.setting, cores, mechanismInfos).replace(',', '')}`;
  return [
    [`recall (${words}): ${name}`, head => head.recall],
    [`output error (${words}): ${name}`, head => head.outputError],
    [`share of pairs: ${name}`, head => head.pairs / head.densePairs],
    ...(result.heads.some(head => head.span !== undefined)
      ? [[`span [tokens]: ${name}`, head => head.span] as Compared]
      : []),
  ];
}

/** `local:window=64` */
function nameOf({ setting }: MechanismResult): string {
  const pairs = Object.entries(chosenParams(setting)).map(([key, value]) => `${key}=${value}`);
  return pairs.length > 0 ? `${setting.name}:${pairs.join(';')}` : setting.name;
}
