import * as vscode from 'vscode';
import type { CrashedDevice } from '../../shared/protocol/engine';
import { Owner } from '../disposable';
import { tell } from '../workbench/tell';
import type { CrashedDevices } from './crashedDevices';
import type { Death, EngineClient } from './engineClient';

/** Tells what befalls the engine, with what can be done about it. `recover`: a new engine is on its way. */
export class EngineNews extends Owner {
  constructor(client: EngineClient, crashed: CrashedDevices, recover: () => void) {
    super();
    this.register(client.on('device/used', report => crashed.uses(report)));
    this.register(client.on('analysis/core', () => crashed.ran()));
    this.register(client.onSilence(tellSilence));
    this.register(
      client.onDeath(death => {
        tellDeath(death, crashed.died(death));
        if (death.restarting) recover();
      }),
    );
  }
}

const restart = () => vscode.l10n.t('Restart Engine');
const showLog = () => vscode.l10n.t('Show Log');

/** A long native call ends by itself; an endless one does not. */
function tellSilence(): void {
  void tell('warning', vscode.l10n.t('The engine does not answer.'), restart()).then(follow);
}

/** Told once per death, with the way to the log; not awaited. `blamed`: the device that is not used from now on. */
function tellDeath({ message, restarting }: Death, blamed: CrashedDevice | null): void {
  const { t } = vscode.l10n;
  const told = restarting
    ? blamed
      ? tell(
          'warning',
          t(
            '{0} It was started again on the CPU, because the driver of {1} may be to blame; Restart Engine tries it again.',
            message,
            blamed.adapter ?? blamed.device,
          ),
          restart(),
          showLog(),
        )
      : tell('warning', t('{0} It was started again.', message), showLog())
    : tell('error', t('{0} It will not be started again by itself.', message), restart(), showLog());
  void told.then(follow);
}

function follow(choice: string | undefined): Thenable<unknown> | undefined {
  if (choice === showLog()) return vscode.commands.executeCommand('attentionInspector.showLog');
  if (choice === restart()) return vscode.commands.executeCommand('attentionInspector.restartEngine');
  return undefined;
}
