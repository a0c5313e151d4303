/** `analyze --attention`: what runs in every core in place of dense attention. */
import * as v from 'valibot';
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { RefusedError, told, UsageError } from '../errors';
import { readText } from '../readText';
import type { ChosenAttention } from '../../shared/protocol/engine';
import { parseMechanisms } from './arguments';

/** A mechanism, or the file of a plan, which is read when the command runs. */
export type AttentionOption = ChosenAttention | { plan: string };

export function parseAttention(value: string): AttentionOption {
  if (value.endsWith('.json')) return { plan: value };
  const named = parseMechanisms(value);
  if (named.length !== 1)
    throw new UsageError('--attention names one mechanism, or the JSON file of a plan.');
  return { setting: named[0]!.setting };
}

/** Options that compare with dense attention. */
interface Beside {
  attention?: AttentionOption;
  mechanisms: readonly unknown[];
  without: readonly unknown[];
  propagate: boolean;
  html?: string;
  tensors?: string;
}

export function refuseBesideAttention({ attention, ...rest }: Beside): void {
  if (!attention) return;
  const { mechanisms, without, propagate, html, tensors } = rest;
  if (mechanisms.length > 0 || without.length > 0 || propagate || html !== undefined || tensors !== undefined)
    throw new UsageError(
      '--attention runs no dense pass: it does not go with --mechanisms, --propagate, --without, --html or --tensors.',
    );
}

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

export async function readAttention(option: AttentionOption): Promise<ChosenAttention> {
  if (!('plan' in option)) return option;
  const found = v.safeParse(planFile, parsed(await readText(option.plan), option.plan));
  if (!found.success) throw new RefusedError(told`${option.plan} is not the JSON file of a plan.`);
  const heads = found.output.heads.map(({ core, head, mechanism, params }) => ({
    core,
    head,
    choice: settingOf(findMechanism(mechanism).info, params as never),
  }));
  return { heads };
}

function parsed(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RefusedError(told`${name} is not JSON.`);
  }
}
