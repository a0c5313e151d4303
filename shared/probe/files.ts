/** The canonical probe as files: `heads --probe --json` and `--csv`. */
import type { Change, HeadProbe, ProbedHead } from '../protocol/engine';
import { csv } from '../numbers';

const SCHEMA = 'attention-inspector/heads@1';

export function probeJson({
  model,
  probe,
  loss,
  measure,
  heads,
  circuit,
  ids,
  provenance,
}: HeadProbe): object {
  return {
    schema: SCHEMA,
    provenance,
    model: { name: model.name, layers: model.layers, heads: model.heads, causal: model.causal },
    probe,
    measure,
    loss,
    heads,
    circuit,
    ids,
  };
}

export function probeCsv({ measure, heads, circuit }: HeadProbe): string {
  const unit = measure === 'loss' ? 'nats per token' : '1 - cosine';
  const resampled = heads.some(({ ablation }) => ablation.resample);
  const ways = (['zero', 'mean', 'resample'] as const).filter(way => way !== 'resample' || resampled);
  const titles = ways.flatMap(way => [`${way} [${unit}]`, `${way} low`, `${way} high`]);
  const partOf = ({ core, head }: ProbedHead) =>
    circuit?.heads.find(one => one.core === core && one.head === head)?.part;
  const cells = ({ delta, low, high }: Change) => [delta, low, high];
  return csv(
    ['core', 'layer', 'head', ...titles, 'role', 'score', 'in the induction circuit'],
    heads.map(one => {
      const {
        core,
        layer,
        head,
        ablation,
        roles: [best],
      } = one;
      return [
        core,
        layer,
        head,
        ...ways.flatMap(way => cells(ablation[way]!)),
        best?.role,
        best?.score,
        partOf(one),
      ];
    }),
  );
}
