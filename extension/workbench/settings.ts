import { existsSync } from 'node:fs';
import * as os from 'node:os';
import * as vscode from 'vscode';
import type { ChosenAttention, DeviceChoice, MechanismInfo } from '../../shared/protocol/engine';
import type { HostSettings, MassScale } from '../../shared/protocol/host';
import { readMechanisms, type ReadMechanisms } from './mechanismSetting';
import { absoluteRef, type Disk } from '../model/modelRef';

const SECTION = 'attentionInspector';

/** All settings, read in one place. Each getter reads anew: nothing needs a reload. */
export class Settings {
  /** A settings file may hold anything; a value of another type than the fallback's counts as none. */
  private get<T>(key: string, fallback: T): T {
    const value = this.anything(key);
    return typeof value === typeof fallback ? (value as T) : fallback;
  }

  private anything(key: string): unknown {
    return vscode.workspace.getConfiguration(SECTION).get(key);
  }

  /** Model reference as the engine takes it; relative paths are made absolute from the first workspace folder. */
  get model(): string {
    return this.absolute(this.get('model', 'bundled').trim() || 'bundled');
  }

  /** A reference to a model as the engine takes it. */
  absolute(ref: string): string {
    return absoluteRef(ref, this.disk);
  }

  /** Where relative model references start. */
  get disk(): Disk {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    return {
      folder: folder?.scheme === 'file' ? folder.fsPath : null,
      home: os.homedir(),
      exists: existsSync,
    };
  }

  get device(): DeviceChoice {
    return this.get<DeviceChoice>('device', 'auto');
  }

  get maxTokens(): number | null {
    const tokens = this.get('maxTokens', 0);
    return tokens > 0 ? Math.floor(tokens) : null;
  }

  /** The entries, and a sentence for each that is left out. `infos`: the engine's mechanisms, null while unknown. */
  mechanisms(infos: readonly MechanismInfo[] | null): ReadMechanisms {
    return readMechanisms(this.anything('mechanisms') ?? [], infos);
  }

  /** What runs in every core in place of dense attention; null = dense, or a value that names no mechanism and no plan. */
  get attention(): ChosenAttention | null {
    const value = this.anything('attention');
    if (typeof value === 'string' && value.endsWith('.json')) return { plan: this.absolute(value) };
    const [setting] = value ? readMechanisms([value], null).given : [];
    return setting ? { setting } : null;
  }

  get propagate(): boolean {
    return this.get('propagate', false);
  }

  get memoryLimitMiB(): number {
    return Math.max(256, this.get('memoryLimit', 4096));
  }

  get reanalyzeOnEdit(): boolean {
    return this.get('reanalyzeOnEdit', false);
  }

  get reanalyzeDelay(): number {
    return Math.max(100, this.get('reanalyzeDelay', 1000));
  }

  get hover(): boolean {
    return this.get('hover.enabled', true);
  }

  get decorations(): boolean {
    return this.get('decorations.enabled', true);
  }

  get changeMarks(): boolean {
    return this.get('changeMarks.enabled', true);
  }

  get costHints(): boolean {
    return this.get('costHints.enabled', false);
  }

  get massScale(): MassScale {
    return this.get<MassScale>('massScale', 'sqrt');
  }

  async setModel(ref: string): Promise<void> {
    await vscode.workspace.getConfiguration(SECTION).update('model', ref, this.target('model'));
  }

  async setChangeMarks(shown: boolean): Promise<void> {
    await vscode.workspace
      .getConfiguration(SECTION)
      .update('changeMarks.enabled', shown, vscode.ConfigurationTarget.Global);
  }

  async setMassScale(scale: MassScale): Promise<void> {
    await vscode.workspace
      .getConfiguration(SECTION)
      .update('massScale', scale, vscode.ConfigurationTarget.Global);
  }

  forViews(infos: readonly MechanismInfo[] | null): HostSettings {
    return {
      massScale: this.massScale,
      changeMarks: this.changeMarks,
      themeKind: themeKind(),
      mechanisms: this.mechanisms(infos).settings,
      model: this.model,
      locale: vscode.env.language,
      reduceMotion: vscode.workspace.getConfiguration('workbench').get('reduceMotion') === 'on',
    };
  }

  /** Where the setting is set now, so that a choice takes effect and does not hide behind a narrower one. */
  private target(key: string): vscode.ConfigurationTarget {
    const found = vscode.workspace.getConfiguration(SECTION).inspect(key);
    return found?.workspaceValue !== undefined
      ? vscode.ConfigurationTarget.Workspace
      : vscode.ConfigurationTarget.Global;
  }
}

function themeKind(): HostSettings['themeKind'] {
  switch (vscode.window.activeColorTheme.kind) {
    case vscode.ColorThemeKind.Light:
      return 'light';
    case vscode.ColorThemeKind.Dark:
      return 'dark';
    case vscode.ColorThemeKind.HighContrast:
      return 'high-contrast';
    case vscode.ColorThemeKind.HighContrastLight:
      return 'high-contrast-light';
  }
}
