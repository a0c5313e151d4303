/** What the command line prints of a plan. */
import { plainPercent } from '../../shared/numbers';
import { findMechanism } from '../attention/registry';
import { embeddingWords, formatModel, formatTable, intervalCell, signed } from './tables';
import type { PlanFile, PlanText } from '../export/planJson';
import type { Change, ModelInfo } from '../../shared/protocol/engine';

/** Skipped texts are many where a folder holds pictures. */
const SHOWN_SKIPPED = 5;

export function formatPlan(plan: PlanFile, model: ModelInfo): string {
  const fitted = plan.texts.filter(({ role }) => role === 'fitted').map(({ name }) => name);
  const change = plan.measure === 'loss' ? 'nats per token' : '1 - cosine of the output';
  const parts = [
    [
      formatModel(model),
      `plan      ${plainPercent(plan.pairs / plan.densePairs)} of the dense pairs (budget ${plainPercent(plan.budget)}), fitted to ${fitted.join(', ')}`,
      `change    ${signed(plan.delta)} (${change}; 95 %: ${intervalCell(plan.interval)}), ${plan.tried.length} run${plan.tried.length === 1 ? '' : 's'} of the model`,
      ...(plan.embedding ? [`embedding ${embeddingWords(plan.embedding)}`] : []),
    ].join('\n'),
    formatHeads(plan),
    formatTexts(plan),
    ...formatHeldOut(plan),
  ];
  if (plan.notes.length > 0) parts.push([...new Set(plan.notes)].map(note => `note: ${note}`).join('\n'));
  return parts.join('\n\n');
}

function formatHeads(plan: PlanFile): string {
  const stable = new Map(plan.stability.map(one => [`${one.core}.${one.head}`, one]));
  const agreement = (key: 'mechanism' | 'span') => (head: PlanFile['heads'][number]) => {
    const found = stable.get(`${head.core}.${head.head}`)?.[key];
    return found
      ? `${plainPercent(found.agreement)} (${plainPercent(found.low)} to ${plainPercent(found.high)})`
      : '-';
  };
  return formatTable(
    [
      { title: 'core', align: 'right', cell: head => String(head.core) },
      { title: 'head', align: 'right', cell: head => String(head.head) },
      { title: 'mechanism', cell: head => head.mechanism },
      { title: 'parameters', cell: head => parameters(head) },
      { title: 'pairs', align: 'right', cell: head => plainPercent(head.pairs / head.densePairs) },
      {
        title: 'recall',
        align: 'right',
        cell: head => (head.recall === null ? '-' : head.recall.toFixed(3)),
      },
      { title: 'output error', align: 'right', cell: head => head.outputError.toFixed(3) },
      ...(plan.stability.length === 0
        ? []
        : [
            { title: 'same mechanism', align: 'right' as const, cell: agreement('mechanism') },
            { title: 'same share', align: 'right' as const, cell: agreement('span') },
          ]),
    ],
    plan.heads,
  );
}

/** The plan beside the best uniform choice, the floor and chance, on every text. */
function formatTexts(plan: PlanFile): string {
  return formatTable(
    [
      { title: 'text', cell: text => text.name },
      { title: 'role', cell: text => text.role },
      { title: 'tokens', align: 'right', cell: text => text.tokens.toLocaleString('en-US') },
      { title: 'pairs', align: 'right', cell: text => plainPercent(text.share) },
      { title: 'plan', align: 'right', cell: text => signed(text.delta) },
      { title: '95 % interval', cell: text => intervalCell(text.interval) },
      ...(plan.embedding
        ? [
            {
              title: 'embedding: cosine',
              cell: (text: PlanText) => text.embedding?.cosine.toFixed(4) ?? '-',
            },
            {
              title: 'of the best uniform',
              cell: ({ uniform: [best] }: PlanText) => best?.embedding?.cosine.toFixed(4) ?? '-',
            },
          ]
        : []),
      {
        title: 'best uniform',
        align: 'right',
        cell: ({ uniform: [best] }) => (best ? `${signed(best.delta)} ${best.mechanism}` : '-'),
      },
      { title: 'the plan less it (95 %)', cell: ({ uniform: [best] }) => differenceCell(best) },
      {
        title: 'floor',
        align: 'right',
        cell: ({ floor }) => (floor ? `${signed(floor.delta)} ${floor.mechanism}` : '-'),
      },
      { title: 'the plan less it (95 %)', cell: ({ floor }) => differenceCell(floor) },
      { title: 'random (mean)', align: 'right', cell: text => signed(text.random.mean) },
      { title: 'wins', cell: text => text.wins },
    ],
    plan.texts,
  );
}

function differenceCell(one: { difference: Change } | null | undefined): string {
  if (!one) return '-';
  const { delta, low, high } = one.difference;
  return `${signed(delta)} (${intervalCell(Number.isFinite(low) ? { low, high } : null)})`;
}

function formatHeldOut({ heldOut, corpus }: PlanFile): string[] {
  const lines = [];
  if (heldOut) {
    const { texts, delta, interval, best } = heldOut;
    lines.push(
      `held out  ${texts} texts: ${signed(delta)} on average (95 % over texts: ${intervalCell(interval)})`,
    );
    if (best) {
      lines.push(
        `against   ${best.mechanism} in every head (${signed(best.delta)}): ${signed(best.difference)} (${intervalCell(best.interval)})`,
      );
    }
  }
  if (corpus) {
    const { choose, left, skipped } = corpus;
    lines.push(`chosen    ${choose}; ${left} more texts could be used, ${skipped.length} were skipped`);
    for (const { name, why } of skipped.slice(0, SHOWN_SKIPPED)) lines.push(`          ${name}: ${why}`);
    if (skipped.length > SHOWN_SKIPPED)
      lines.push(`          and ${skipped.length - SHOWN_SKIPPED} more (--json names all)`);
  }
  return lines.length > 0 ? [lines.join('\n')] : [];
}

/** Those that are not as by default. */
function parameters({ mechanism, params }: PlanFile['heads'][number]): string {
  const { info } = findMechanism(mechanism);
  const usual = new Map(info.parameters.map(parameter => [parameter.name, parameter.default]));
  return Object.entries(params)
    .filter(([name, value]) => usual.get(name) !== value)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
