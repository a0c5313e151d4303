import { readFileSync } from 'node:fs';
import { Engine } from '../../engine/engine';
import { LoadedModel } from '../../engine/model/loadedModel';
import { LengthChecks } from '../../engine/model/verify/lengthChecks';
import { neverCancelled } from '../../engine/runtime/cancellation';

/** User CPU time of one analysis, in milliseconds: of all of it, and of the two comparisons with the uncut model. */
export interface CheckCost {
  tokens: number;
  whole: number;
  /** Masks and biases at the text's length. */
  rules: number;
  /** The output on the first tokens. */
  output: number;
}

/**
 * Analyses of the bundled model one after the other in this process, at these lengths. The first is that of an engine that
 * has only loaded the model; checks and analysis are parts of the same run, so that what else a machine does meets both.
 */
export async function timeChecks(lengths: readonly number[]): Promise<CheckCost[]> {
  const text = readFileSync('docs/architecture.md', 'utf8');
  const engine = new Engine();
  const used = () => process.cpuUsage().user / 1000;
  let comparing = 0;
  let output = 0;
  const { at } = LengthChecks.prototype;
  LengthChecks.prototype.at = async function (...given) {
    const began = used();
    const found = await at.apply(this, given);
    comparing += used() - began;
    return found;
  };
  const { checkText } = LoadedModel.prototype;
  LoadedModel.prototype.checkText = async function (...given) {
    const began = used();
    const found = await checkText.apply(this, given);
    output = used() - began;
    return found;
  };
  const costs: CheckCost[] = [];
  try {
    await engine.request('models/load', { ref: 'bundled', device: 'cpu' });
    for (const tokens of lengths) {
      comparing = 0;
      let rules = 0;
      const began = used();
      await engine.analyze(
        {
          id: 'bench',
          model: 'bundled',
          text,
          device: 'cpu',
          maxTokens: tokens,
          mechanisms: [],
          propagate: false,
          target: null,
        },
        neverCancelled,
        {
          onTokens: async () => void (rules = comparing),
        },
      );
      costs.push({ tokens, whole: used() - began, rules, output });
    }
    return costs;
  } finally {
    LengthChecks.prototype.at = at;
    LoadedModel.prototype.checkText = checkText;
    await engine.dispose();
  }
}
