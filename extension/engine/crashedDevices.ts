import * as v from 'valibot';
import type { Memento } from 'vscode';
import type { CrashedDevice, DeviceReport } from '../../shared/protocol/engine';
import { DEVICE_NAMES } from '../../shared/protocol/models';
import { Kept, shortText } from '../kept';
import type { Death } from './engineClient';

interface Remembered extends CrashedDevice {
  /** Of the extension, and with it of ONNX Runtime: another one may get on with the driver. */
  version: string;
}

const remembered: v.GenericSchema<Remembered> = v.object({
  device: v.picklist(DEVICE_NAMES),
  adapter: v.nullable(shortText),
  version: shortText,
});

/**
 * The devices of this machine on which the engine fell in native code: the CPU takes over until Restart Engine. Where the same
 * work falls on the CPU too, the model was to blame and not the driver.
 */
export class CrashedDevices {
  private readonly kept: Kept<Remembered[]>;
  private used: DeviceReport | null = null;
  /** Blamed last, and nothing has run on the CPU since. */
  private suspect: Remembered | null = null;

  constructor(
    memory: Pick<Memento, 'get' | 'update'>,
    private readonly version: string,
  ) {
    this.kept = new Kept(memory, 'crashedDevices', v.pipe(v.array(remembered), v.maxLength(100)));
  }

  /** What the engine is told when it starts. */
  get all(): CrashedDevice[] {
    return this.remembered.map(({ device, adapter }) => ({ device, adapter }));
  }

  /** The engine loads or uses a model there from now on. */
  uses(report: DeviceReport): void {
    this.used = report;
  }

  /** It has run a part of a text. */
  ran(): void {
    if (this.used?.device === 'cpu') this.suspect = null;
  }

  /** Gives the device that is to blame for a death, which is not used from now on; null when none is. */
  died({ native }: Pick<Death, 'native'>): CrashedDevice | null {
    const { used, suspect } = this;
    this.used = null;
    if (!native || !used) return null;
    if (used.device === 'cpu') {
      if (suspect) this.write(this.remembered.filter(one => !isSame(one, suspect)));
      this.suspect = null;
      return null;
    }
    const { device, adapter } = used;
    this.suspect = { device, adapter, version: this.version };
    this.write([...this.remembered.filter(one => !isSame(one, used)), this.suspect]);
    return { device, adapter };
  }

  /** All of them are tried again. */
  async forget(): Promise<void> {
    this.suspect = null;
    await this.kept.keep(null);
  }

  private get remembered(): Remembered[] {
    return (this.kept.value ?? []).filter(({ version }) => version === this.version);
  }

  private write(devices: Remembered[]): void {
    void this.kept.keep(devices);
  }
}

const isSame = (a: CrashedDevice, b: CrashedDevice) => a.device === b.device && a.adapter === b.adapter;
