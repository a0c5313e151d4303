import type { MechanismInfo, ParameterInfo } from '../../shared/protocol/engine';
import { t } from './words';

/** What the engine says of its mechanisms, in the user's language; names and values of settings stay as they are. */
export const mechanismWords = (infos: readonly MechanismInfo[]): MechanismInfo[] =>
  infos.map(({ title, summary, parameters, ...info }) => ({
    ...info,
    title: t(title),
    summary: t(summary),
    parameters: parameters.map(parameterWords),
  }));

const parameterWords = ({ description, defaultRule, ...info }: ParameterInfo): ParameterInfo => ({
  ...info,
  description: t(description),
  ...(defaultRule !== undefined && { defaultRule: t(defaultRule) }),
});
