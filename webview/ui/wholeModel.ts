import { nothing, type TemplateResult } from 'lit';
import type { Remote } from '../host/remote';
import { store } from '../host/store';
import { t } from '../host/words';
import { segmented } from './controls';
import { requestState } from './states';

/** Whether words are told of the whole model by attention rollout, and not of one head. It needs an engine. */
export const wholeModel = (): boolean =>
  store.asksDense && store.option<string>('head', 'of', 'head') === 'model';

export function wholeModelSwitch(): TemplateResult | typeof nothing {
  if (!store.asksDense) return nothing;
  return segmented(
    t('Of'),
    wholeModel() ? 'model' : 'head',
    [
      { value: 'head', label: t('this head') },
      { value: 'model', label: t('the whole model') },
    ],
    value => store.setOption('head', 'of', value),
  );
}

/** What the shares are, in one sentence. */
export const rolloutWords = (): string =>
  t(
    'Attention rollout: the mean attention of each layer’s heads, half of every row staying with its own token, multiplied over the layers. It leaves out values and all that lies between the attention, and shares of a token sum to 100 %.',
  );

export function rolloutWaits(rollout: Remote<'analysis/rollout'>) {
  return requestState(rollout, t('The attention of all layers is multiplied.'));
}
