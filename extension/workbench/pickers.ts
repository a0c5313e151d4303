import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import { coresOf } from '../../shared/host/analysisState';
import { fileSize } from '../../shared/numbers';
import type { HubModel } from '../../shared/protocol/engine';
import type { AnalysisStore } from '../analysis/analysisStore';
import type { EngineClient } from '../engine/engineClient';
import { pickHubModel, pickVariant } from '../model/hubPicker';
import { cacheSize, showModelCache } from '../model/modelCache';
import { recentModels } from '../model/modelChoice';
import { typedRef } from '../model/modelRef';
import { RECOMMENDED, sizeOf, triedWords } from '../model/recommended';
import type { SelectionModel } from '../views/selectionModel';
import type { Settings } from './settings';
import { tell } from './tell';

interface ModelItem extends vscode.QuickPickItem {
  ref?: string;
  browse?: 'file' | 'folder' | 'hub' | 'cache';
  /** A model of the hub whose files are to choose from. */
  hubModel?: string;
}

const SOURCES: Record<HubModel['source'], () => string> = {
  bundled: () => vscode.l10n.t('Bundled'),
  papers: () => vscode.l10n.t('The papers'),
  workspace: () => vscode.l10n.t('In this workspace'),
  recent: () => vscode.l10n.t('Recently used'),
  hub: () => vscode.l10n.t('Hub cache'),
};

/** Lets the user choose a model; returns its reference, or undefined. */
export async function pickModel(
  client: EngineClient,
  settings: Settings,
  memory: vscode.Memento,
): Promise<string | undefined> {
  const pick = vscode.window.createQuickPick<ModelItem>();
  pick.title = vscode.l10n.t('Select the model');
  pick.placeholder = vscode.l10n.t('Model, .onnx file, or folder in the Hugging Face layout');
  pick.matchOnDetail = true;
  pick.busy = true;
  // It says its size as soon as that is known.
  const cache: ModelItem = { label: `$(database) ${vscode.l10n.t('Model cache…')}`, browse: 'cache' };
  const browse: ModelItem[] = [
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    { label: `$(file) ${vscode.l10n.t('Browse for an .onnx file…')}`, browse: 'file' },
    { label: `$(folder) ${vscode.l10n.t('Browse for a model folder…')}`, browse: 'folder' },
    { label: `$(cloud-download) ${vscode.l10n.t('Model from the Hugging Face hub…')}`, browse: 'hub' },
    cache,
    ...recommendedItems(),
  ];
  let known: ModelItem[] = [];
  const fill = () => (pick.items = [...typedItem(pick.value, known, settings), ...known, ...browse]);
  fill();
  pick.onDidChangeValue(fill);
  pick.show();
  const folders = (vscode.workspace.workspaceFolders ?? [])
    .filter(({ uri }) => uri.scheme === 'file')
    .map(({ uri }) => uri.fsPath);
  client.request('models/list', { folders }).then(
    models => {
      const listed = new Set(models.map(({ ref }) => ref));
      const recent = recentModels(memory)
        .filter(ref => !listed.has(ref))
        .map((ref): HubModel => ({ ref, label: ref, detail: '', source: 'recent' }));
      known = modelItems([...models, ...recent], settings.model);
      fill();
      pick.busy = false;
    },
    (error: Error) => {
      pick.busy = false;
      pick.placeholder = error.message;
    },
  );
  client.request('models/cache', {}).then(
    info => {
      cache.description = cacheSize(info);
      fill();
    },
    () => undefined,
  );
  const chosen = await new Promise<ModelItem | undefined>(resolve => {
    pick.onDidAccept(() => resolve(pick.selectedItems[0]));
    pick.onDidHide(() => resolve(undefined));
  });
  pick.dispose();
  if (chosen?.hubModel) return pickVariant(client, chosen.hubModel);
  return chosen?.browse ? browseFor(chosen.browse, client) : chosen?.ref;
}

/** Models of the hub to begin with, each with why, how large it is, and what was tried of it. */
function recommendedItems(): ModelItem[] {
  return [
    { label: vscode.l10n.t('Recommended on the hub'), kind: vscode.QuickPickItemKind.Separator },
    ...RECOMMENDED.map(model => ({
      label: `$(cloud-download) ${model.id}`,
      description: sizeOf(model),
      detail: `${model.why()} ${triedWords(model)}`,
      hubModel: model.id,
    })),
  ];
}

/** What was typed as a model of its own, where it can be one that is not listed. */
function typedItem(typed: string, known: readonly ModelItem[], { disk }: Settings): ModelItem[] {
  const ref = typedRef(typed, disk);
  if (ref === null || known.some(item => item.ref === ref)) return [];
  return [{ label: vscode.l10n.t('Use {0}', foreign(ref)), ref, alwaysShow: true }];
}

export function modelItems(models: readonly HubModel[], current: string): ModelItem[] {
  const items: ModelItem[] = [];
  for (const source of ['bundled', 'recent', 'workspace', 'papers', 'hub'] as const) {
    const group = models.filter(model => model.source === source);
    if (!group.length) continue;
    items.push({ label: SOURCES[source](), kind: vscode.QuickPickItemKind.Separator });
    for (const { ref, label, detail, download } of group) {
      const isCurrent = ref === current ? vscode.l10n.t('current') : undefined;
      if (download === undefined)
        items.push({ ref, label: foreign(label), detail: foreign(detail), description: isCurrent });
      else
        items.push({
          ref,
          label: `$(cloud-download) ${foreign(label)}`,
          description: isCurrent ?? vscode.l10n.t('download, {0}', fileSize(download)),
        });
    }
  }
  return items;
}

async function browseFor(
  what: Required<ModelItem>['browse'],
  client: EngineClient,
): Promise<string | undefined> {
  if (what === 'hub') return pickHubModel(client);
  if (what === 'cache') {
    await showModelCache(client);
    return undefined;
  }
  const found = await vscode.window.showOpenDialog({
    canSelectFiles: what === 'file',
    canSelectFolders: what === 'folder',
    filters: what === 'file' ? { ONNX: ['onnx'] } : undefined,
    openLabel: vscode.l10n.t('Use this model'),
  });
  return found?.[0]?.fsPath;
}

interface HeadItem extends vscode.QuickPickItem {
  core: number | null;
  head: number | null;
}

/** Lets the user choose a head by number or role; moving through the list previews it everywhere. False: none was. */
export async function pickHead(store: AnalysisStore, selection: SelectionModel): Promise<boolean> {
  const cores = coresOf(store.state);
  if (!cores.length) {
    void tell('information', vscode.l10n.t('Analyze a text first: then its heads can be chosen.'));
    return false;
  }
  const { current: before, isGiven } = selection;
  const items: HeadItem[] = [{ label: vscode.l10n.t('Mean of all heads'), core: null, head: null }];
  for (const { info, heads } of cores) {
    items.push({
      label: vscode.l10n.t('Layer {0} ({1})', info.layer, info.kind),
      kind: -1,
      core: null,
      head: null,
    });
    for (const { core, head, roles, entropy, span95 } of heads) {
      const role = roles[0];
      items.push({
        label: vscode.l10n.t('Layer {0}, head {1}', info.layer, head),
        description: role ? `${role.role} ${role.score.toFixed(2)}` : undefined,
        detail: vscode.l10n.t('entropy {0} nats, span95 {1} tokens', entropy.toFixed(2), span95.toFixed(1)),
        core,
        head,
      });
    }
  }
  const pick = vscode.window.createQuickPick<HeadItem>();
  pick.title = vscode.l10n.t('Select the head');
  pick.matchOnDescription = true;
  pick.items = items;
  const current = items.find(
    item => item.core === before.core && item.head === before.head && item.kind !== -1,
  );
  if (current) pick.activeItems = [current];
  pick.onDidChangeActive(([item]) => item && selection.select({ core: item.core, head: item.head }));
  const accepted = await new Promise<boolean>(resolve => {
    pick.onDidAccept(() => resolve(true));
    pick.onDidHide(() => resolve(false));
    pick.show();
  });
  pick.dispose();
  if (accepted) return true;
  const { core, head } = before;
  if (isGiven && core !== null && head !== null) selection.give({ core, head });
  else selection.select({ core, head });
  return false;
}
