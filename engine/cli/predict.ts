/** `--predict`: the likeliest tokens at some tokens, as the model is and under each change that was run. */
import { formatWithout } from './interventions';
import { formatTable } from './tables';
import type { Engine } from '../engine';
import { UsageError, told } from '../errors';
import type {
  AnalysisSummary,
  Intervention,
  InterventionResult,
  LikelyToken,
  Prediction,
} from '../../shared/protocol/engine';
import { plainPercent } from '../../shared/numbers';

/** `last`: the text's last token. */
export type PredictedToken = number | 'last';

/** What is predicted at one token, by the model as it is and with each change. */
export interface TokenPredictions {
  token: number;
  text: string;
  of: Prediction['of'];
  likely: LikelyToken[];
  came: { id: number; text: string; probability: number } | null;
  changes: { change: string; likely: LikelyToken[]; came: number | null }[];
}

/** `last`, or tokens counted from 0, with commas between them. */
export function parseTokens(option: string, value: string): PredictedToken[] {
  return value.split(',').map(part => {
    const token = part.trim();
    if (token === 'last') return 'last';
    if (!/^\d{1,9}$/.test(token))
      throw new UsageError(told`${option} takes tokens counted from 0, or last, not "${value}".`);
    return Number(token);
  });
}

export async function runPredict(
  engine: Engine,
  id: string,
  wanted: readonly PredictedToken[],
  summary: AnalysisSummary,
  results: readonly InterventionResult[],
  signal: AbortSignal,
): Promise<TokenPredictions[]> {
  if (wanted.length === 0) return [];
  const { ids, text } = summary.target?.tokens ?? summary.tokens;
  const tokens = [...new Set(wanted.map(token => (token === 'last' ? ids.length - 1 : token)))];
  const ask = (interventions: Intervention[]) =>
    engine.request('analysis/predictions', { id, tokens, interventions }, signal);
  const whole = { kind: 'mechanism', core: null, head: null } as const;
  const changes: { change: string; interventions: Intervention[] }[] = [
    ...summary.mechanisms
      .filter(({ scope }) => scope === 'propagated')
      .map(({ setting }) => ({ change: setting.key, interventions: [{ ...whole, choice: setting }] })),
    ...results.map(({ interventions }) => ({
      change: interventions.map(formatWithout).join(' '),
      interventions,
    })),
  ];
  const own = await ask([]);
  const changed: { change: string; found: Prediction[] }[] = [];
  for (const { change, interventions } of changes) changed.push({ change, found: await ask(interventions) });
  return own.map(({ token, of, before, came }, at) => ({
    token,
    text: text[token]!,
    of,
    likely: before,
    came: came && { id: came.id, text: came.text, probability: came.before },
    changes: changed.map(({ change, found }) => ({
      change,
      likely: found[at]!.after ?? [],
      came: found[at]!.came?.after ?? null,
    })),
  }));
}

export function formatPredictions(found: readonly TokenPredictions[]): string {
  const rows = found.flatMap(({ token, text, of, likely, came, changes }) => [
    {
      at: `${token} ${JSON.stringify(text)}`,
      change: of === 'next' ? 'next' : 'hidden',
      likely,
      came: came && `${JSON.stringify(came.text)} ${plainPercent(came.probability)}`,
    },
    ...changes.map(one => ({
      at: '',
      change: one.change,
      likely: one.likely,
      came: one.came === null ? null : plainPercent(one.came),
    })),
  ]);
  return formatTable<(typeof rows)[number]>(
    [
      { title: 'at token', cell: row => row.at },
      { title: 'predicted', cell: row => row.change },
      {
        title: 'likeliest',
        cell: row =>
          row.likely.map(one => `${JSON.stringify(one.text)} ${plainPercent(one.probability)}`).join(', '),
      },
      { title: 'came', cell: row => row.came ?? '-' },
    ],
    rows,
  );
}
