/** What a model is and how it was proved, for scripts: `models verify --json`. */
import type { ModelInfo, Provenance } from '../../shared/protocol/engine';
import { attentionOf } from '../../shared/native';
import { VERSION } from '../version';

const SCHEMA = 'urn:attention-inspector:verify:1';

export const verifyJson = (
  {
    name,
    ref,
    kind,
    layers,
    heads,
    causal,
    parameters,
    context,
    verified,
    cores,
    otherLayers = [],
  }: ModelInfo,
  provenance: Provenance | null = null,
) => ({
  schema: SCHEMA,
  version: VERSION,
  provenance,
  model: { name, ref, kind, layers, heads, causal, parameters, context },
  verified,
  otherLayers,
  cores: cores.map(core => ({ ...core, attention: attentionOf(core) })),
});
