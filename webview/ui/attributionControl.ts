import { nothing, type TemplateResult } from 'lit';
import type { Attribution } from '../../shared/protocol/engine';
import { attributionRun } from '../host/longRun';
import { store } from '../host/store';
import { t } from '../host/words';
import { DIRECT_LOGIT } from '../model/measures';
import { longRunControl } from './longRun';

/** Direct attribution is told of decoders that predict the text itself, by an engine. */
export function isAttributed(): boolean {
  const { loss } = store.summary ?? {};
  return !!loss && !loss.masked && store.asksDense && !store.target;
}

export function knownAttribution(): Attribution | null {
  return isAttributed() && store.id ? attributionRun.result({ id: store.id }) : null;
}

/** Which heads write the tokens that come, on the whole text. */
export function attributionControl(): TemplateResult | typeof nothing {
  const { id } = store;
  if (!isAttributed() || !id) return nothing;
  const start = async () => {
    if (await attributionRun.start({ id })) store.setOption('overview', 'measure', DIRECT_LOGIT);
  };
  return longRunControl(
    attributionRun,
    { id },
    {
      label: t('Who writes?'),
      title: t(
        'Measure what each head writes to the logits directly, past the layers behind it, and how far it copies',
      ),
      start: () => void start(),
    },
  );
}
