import type { MechanismChoice } from '../../shared/protocol/engine';

/** Same name, and every parameter given on both sides agrees (the engine fills in defaults). */
export function sameMechanism(a: MechanismChoice, b: MechanismChoice): boolean {
  return (
    a.name === b.name &&
    Object.entries(a.params).every(
      ([name, value]) => b.params[name] === undefined || b.params[name] === value,
    )
  );
}
