import * as vscode from 'vscode';
import { tell } from './tell';

/** The setting of the device, and no other. */
export const openDeviceSetting = () =>
  vscode.commands.executeCommand('workbench.action.openSettings', '@id:attentionInspector.device');

/** A failure that is the device's, with the setting that mends it. Told once, not awaited. */
export function tellOfDevice(message: string): void {
  const another = vscode.l10n.t('Choose Another Device');
  void tell('error', message, another).then(choice => choice === another && openDeviceSetting());
}
