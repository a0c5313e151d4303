/** The real engine in this process, with a finished analysis of a text: what the pictures of the README are made from. */
import { Engine } from '../../engine/engine';
import type {
  AnalysisSummary,
  EngineMethod,
  EngineParams,
  MechanismInfo,
} from '../../shared/protocol/engine';
import type { EngineLike } from './fakeHost';

export async function analyzed(
  text: string,
  model: string,
): Promise<{ engine: EngineLike; summary: AnalysisSummary; mechanisms: MechanismInfo[] }> {
  const engine = new Engine(() => undefined);
  const request = <M extends EngineMethod>(method: M, params: EngineParams<M>) =>
    engine.request(method, params);
  const { mechanisms } = (await request('initialize', { device: 'cpu', memoryLimitMiB: 4096 })) as {
    mechanisms: MechanismInfo[];
  };
  const summary = (await request('analysis/start', {
    id: 'a',
    model,
    text,
    device: 'cpu',
    maxTokens: null,
    mechanisms: ['local', 'strided', 'lsh', 'routing'].map(name => ({ name, params: {} })),
    propagate: false,
  })) as AnalysisSummary;
  return { engine: { request }, summary, mechanisms };
}
