import type { Memento } from 'vscode';
import type { CostMeasurement, DeviceName, HeadShape } from '../../shared/protocol/engine';

const KEY = 'costs';
/** Measurements kept, the newest first. */
const KEPT = 16;

/** What was measured on this machine, for each device and head shape: kept for all workspaces. */
export class CostMemory {
  constructor(private readonly memory: Memento) {}

  recall(device: DeviceName, shape: HeadShape): CostMeasurement | null {
    return this.all().find(known => isOf(known, device, shape)) ?? null;
  }

  keep(measurement: CostMeasurement): Thenable<void> {
    const others = this.all().filter(known => !isOf(known, measurement.device, measurement.shape));
    return this.memory.update(KEY, [measurement, ...others].slice(0, KEPT));
  }

  private all(): CostMeasurement[] {
    return this.memory.get<CostMeasurement[]>(KEY, []);
  }
}

/** Heads are not compared: what is measured is one of them. */
function isOf(known: CostMeasurement, device: DeviceName, { dim, valueDim, causal }: HeadShape): boolean {
  const { shape } = known;
  return (
    known.device === device && shape.dim === dim && shape.valueDim === valueDim && shape.causal === causal
  );
}
