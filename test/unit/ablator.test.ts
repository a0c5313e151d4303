import assert from 'node:assert/strict';
import { Ablator } from '../../shared/host/ablator';
import type { AnalysisHost } from '../../shared/host/host';
import type { AnalysisUpdate } from '../../shared/host/analysisState';
import type { Ablation, HeadAblation } from '../../shared/protocol/engine';
import type { Ablating, AnalysisState } from '../../shared/protocol/host';

describe('what losing each head costs', () => {
  /** All that is told, of a run that tells of one head and ends with the answer. */
  async function toldOf(loss: object | null, answer: Ablation): Promise<Ablating[]> {
    const told: Ablating[] = [];
    const state = { status: 'ready', id: 'a', summary: { loss }, ablation: null } as unknown as AnalysisState;
    const host = {
      state,
      stateOf: () => ({ ...state, ablation: told.at(-1) ?? null }),
      tell: (update: AnalysisUpdate) => update.type === 'ablation' && told.push(update.ablation!),
      ask: () => {
        ablator.ablated({ id: 'a', measure: answer.measure, head: answer.heads[0]! });
        return Promise.resolve(answer);
      },
    } as unknown as AnalysisHost;
    const ablator = new Ablator(host);
    await ablator.start();
    return told;
  }

  for (const [measure, loss] of [
    ['loss', { mean: 1, perToken: new Float32Array(2) }],
    ['output', null],
  ] as const)
    it(`is told as a change of the ${measure} from the first, before any head is done`, async () => {
      const head = { core: 0, head: 1 } as HeadAblation;
      const told = await toldOf(loss, { measure, heads: [head] });
      assert.equal(told.length, 3);
      for (const one of told) assert.equal(one.measure, measure);
    });
});
