import { mechanismInfos } from '../../engine/attention/registry';
import { readSetting, type Setting } from '../../shared/setting';

/** A setting of one of the engine's mechanisms: parameters that are not given have their defaults. */
export function setting(name: string, params: Record<string, unknown> = {}): Setting {
  return readSetting({ name, params }, mechanismInfos);
}
