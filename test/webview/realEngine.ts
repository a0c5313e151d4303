/** The real engine in this process, with a finished analysis of a text: what pictures of the views are made from. */
import { Engine } from '../../engine/engine';
import type { AnalysisSummary, MechanismInfo } from '../../shared/protocol/engine';

/** `engine`: one that is there already, for another analysis of it. */
export async function analyzed(
  text: string,
  model: string,
  { id = 'a', engine = new Engine(() => undefined) } = {},
): Promise<{ engine: Engine; summary: AnalysisSummary; mechanisms: MechanismInfo[] }> {
  const { mechanisms } = await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
  const summary = await engine.request('analysis/start', {
    id,
    model,
    text,
    device: 'cpu',
    maxTokens: null,
    mechanisms: ['local', 'strided', 'lsh', 'routing'].map(name => ({ name, params: {} })),
    propagate: false,
  });
  return { engine, summary, mechanisms };
}
