/** `analyze --attention`: what runs in every core in place of dense attention. */
import { UsageError } from '../errors';
import type { ChosenAttention } from '../../shared/protocol/engine';
import { parseMechanisms } from './arguments';

/** A mechanism, or the file of a plan. */
export function parseAttention(value: string): ChosenAttention {
  if (value.endsWith('.json')) return { plan: value };
  const named = parseMechanisms(value);
  if (named.length !== 1)
    throw new UsageError('--attention names one mechanism, or the JSON file of a plan.');
  return { setting: named[0]!.setting };
}

/** Options that compare with dense attention. */
interface Beside {
  attention?: ChosenAttention;
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
