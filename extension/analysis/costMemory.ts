import * as v from 'valibot';
import type { Memento } from 'vscode';
import type { CostMeasurement, DeviceName, HeadShape } from '../../shared/protocol/engine';
import { DEVICE_NAMES } from '../../shared/protocol/models';
import { setting } from '../../shared/saved/schema';
import { Kept, shortText } from '../kept';

/** Measurements kept, the newest first. */
const KEPT = 16;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const time = v.pipe(v.number(), v.finite());
const measurement: v.GenericSchema<CostMeasurement> = v.object({
  shape: v.object({
    dim: count,
    valueDim: count,
    causal: v.boolean(),
    heads: count,
    layerHeads: v.exactOptional(count),
  }),
  device: v.picklist(DEVICE_NAMES),
  machine: shortText,
  date: shortText,
  points: v.pipe(
    v.array(
      v.object({
        choice: setting,
        tokens: count,
        milliseconds: v.object({ median: time, low: time, high: time, runs: count }),
        pairs: v.pipe(v.number(), v.finite()),
        blocks: v.exactOptional(count),
        held: v.exactOptional(count),
      }),
    ),
    v.maxLength(10_000),
  ),
  notes: v.pipe(v.array(shortText), v.maxLength(1000)),
});

/** What was measured on this machine, for each device and head shape: kept for all workspaces. */
export class CostMemory {
  private readonly kept: Kept<CostMeasurement[]>;

  constructor(memory: Memento) {
    this.kept = new Kept(memory, 'costs', v.pipe(v.array(measurement), v.maxLength(KEPT)));
  }

  recall(device: DeviceName, shape: HeadShape): CostMeasurement | null {
    return this.all.find(known => isOf(known, device, shape)) ?? null;
  }

  keep(measured: CostMeasurement): Thenable<void> {
    const others = this.all.filter(known => !isOf(known, measured.device, measured.shape));
    return this.kept.keep([measured, ...others].slice(0, KEPT));
  }

  private get all(): CostMeasurement[] {
    return this.kept.value ?? [];
  }
}

/** Heads are not compared: what is measured is one of them. */
function isOf(known: CostMeasurement, device: DeviceName, { dim, valueDim, causal }: HeadShape): boolean {
  const { shape } = known;
  return (
    known.device === device && shape.dim === dim && shape.valueDim === valueDim && shape.causal === causal
  );
}
