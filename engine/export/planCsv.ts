/** A plan as one table: a line per head. */
import type { ModelInfo, PlannedHead } from '../../shared/protocol/engine';
import { csv } from '../../shared/numbers';
import { chosenParams } from '../../shared/setting';

export function planCsv(model: ModelInfo, heads: readonly PlannedHead[]): string {
  return csv(
    [
      'core',
      'kind',
      'layer',
      'head',
      'mechanism',
      'parameters',
      'recall (local)',
      'output error (local)',
      'pairs',
      'dense pairs',
      'share of pairs',
      'queries without keys',
      'span [tokens]',
    ],
    heads.map(({ core, head, choice, recall, outputError, pairs, densePairs, uncovered, span }) => {
      const info = model.cores.find(one => one.core === core)!;
      const params = Object.entries(chosenParams(choice)).map(([name, value]) => `${name}=${value}`);
      return [
        core,
        info.kind,
        info.layer,
        head,
        choice.name,
        params.join(';'),
        recall,
        outputError,
        pairs,
        densePairs,
        pairs / densePairs,
        uncovered,
        span,
      ];
    }),
  );
}
