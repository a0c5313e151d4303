/** A plan that was saved as JSON, as what runs in each head. */
import * as v from 'valibot';
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { RefusedError, told } from '../errors';
import { readText } from '../readText';
import type { HeadAssignment } from '../../shared/protocol/engine';

/** What a plan's file says of its heads; the rest of it is for others. */
const planFile = v.object({
  heads: v.array(
    v.object({
      core: v.pipe(v.number(), v.integer(), v.minValue(0)),
      head: v.pipe(v.number(), v.integer(), v.minValue(0)),
      mechanism: v.string(),
      params: v.record(v.string(), v.unknown()),
    }),
  ),
});

/** @throws RefusedError naming what is wrong with the file, UsageError for a mechanism that is not there. */
export async function readPlan(file: string): Promise<HeadAssignment[]> {
  const found = v.safeParse(planFile, parsed(await readText(file), file));
  if (!found.success) throw new RefusedError(told`${file} is not the JSON file of a plan.`);
  return found.output.heads.map(({ core, head, mechanism, params }) => ({
    core,
    head,
    choice: settingOf(findMechanism(mechanism).info, params as never),
  }));
}

function parsed(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RefusedError(told`${name} is not JSON.`);
  }
}
