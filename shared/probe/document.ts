/** The canonical probe as a document: what each head does on it, and what the model loses without each. */
import type { Change, HeadProbe, InductionCircuit, ProbedHead } from '../protocol/engine';
import { markdown } from '../foreign';
import { interval, percent, signed } from '../numbers';
import { roleTitle } from '../roleTitles';
import type { Translate } from '../translate';

/** Markdown. */
export function probeDocument(found: HeadProbe, t: Translate): string {
  const { model, probe, loss, measure, heads, circuit } = found;
  const change = (of: Change) => `${signed(of.delta)} (${interval(of, t)})`;
  const resampled = heads.some(({ ablation }) => ablation.resample);
  const effect = measure === 'loss' ? t('loss change, nats per token') : t('turn of the output, 1 - cosine');
  const header = [
    ...[t('layer'), t('core.head'), `${t('without it')}: ${effect}`, t('its mean instead')],
    ...(resampled ? [t('its outputs dealt out anew')] : []),
    ...[t('roles on the probe'), t('of the induction circuit')],
  ];
  const rows = heads.map(one => [
    ...[String(one.layer), nameOf(one), change(one.ablation.zero), change(one.ablation.mean)],
    ...(one.ablation.resample ? [change(one.ablation.resample)] : []),
    one.roles.map(role => `${roleTitle(role, t)} ${percent(role.score)}`).join('; '),
    placeIn(circuit, one),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `# ${t('The heads of {0} on repeated random words', markdown(model.name))}`,
    t(
      '{0} tokens: random words, the same {1} times (seed {2}). Only the past of the text itself tells what comes.',
      probe.tokens,
      probe.repeats,
      probe.seed,
    ),
    ...(loss
      ? [
          t(
            'The model loses {0} nats per token on words that are new to it, and {1} on those said before.',
            loss.first.toFixed(3),
            loss.repeated.toFixed(3),
          ),
        ]
      : []),
    ...(circuit ? [circuitWords(circuit, change, t)] : []),
    [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n'),
    '',
  ].join('\n\n');
}

const nameOf = ({ core, head }: Pick<ProbedHead, 'core' | 'head'>) => `${core}.${head}`;

/** "1/8": the one that costs most is the first. */
function placeIn(circuit: InductionCircuit | null, { core, head }: ProbedHead): string {
  const at = circuit?.heads.findIndex(one => one.core === core && one.head === head) ?? -1;
  return at < 0 ? '' : `${at + 1}/${circuit!.heads.length}`;
}

function circuitWords(
  { heads, lead }: InductionCircuit,
  change: (of: Change) => string,
  t: Translate,
): string {
  const named = (part: 'previous' | 'induction') =>
    heads
      .filter(one => one.part === part)
      .map(nameOf)
      .join(', ');
  const [most] = heads as [InductionCircuit['heads'][number]];
  return t(
    'Its induction circuit: the previous-token heads {0} and the induction heads {1}. Of these {2} (layer {3}) costs most: {4} without it, {5} more than without the next.',
    named('previous'),
    named('induction'),
    nameOf(most),
    most.layer,
    change(most.ablation.zero),
    change(lead),
  );
}
