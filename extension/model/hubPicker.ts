import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import type { HubModel } from '../../shared/protocol/engine';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { hubId, precisionOf } from './modelRef';
import { tellProgress } from '../workbench/tell';

interface VariantItem extends vscode.QuickPickItem {
  ref: string;
}

/**
 * Lets the user name a model of the hub and choose one of its ONNX files; returns its reference, or undefined. The hub is
 * asked for the list of files only; the model itself is downloaded by the analysis that needs it.
 */
export async function pickHubModel(client: EngineClient): Promise<string | undefined> {
  const { t } = vscode.l10n;
  // Nothing goes over the network in a workspace that is not trusted.
  if (!vscode.workspace.isTrusted) return undefined;
  const typed = await vscode.window.showInputBox({
    title: t('Model from the Hugging Face hub'),
    prompt: t('The id of a model with ONNX files. Its list of files is asked of the hub.'),
    placeHolder: t('org/name'),
    ignoreFocusOut: true,
    validateInput: text =>
      hubId(text) === null ? t('A hub id has the form org/name, or org/name@revision.') : undefined,
  });
  const id = typed === undefined ? null : hubId(typed);
  return id === null ? undefined : pickVariant(client, id);
}

/** Lets the user choose one of the ONNX files of a hub model. */
export async function pickVariant(client: EngineClient, id: string): Promise<string | undefined> {
  const { t } = vscode.l10n;
  if (!vscode.workspace.isTrusted) return undefined;
  const variants = await askVariants(client, id);
  if (!variants) return undefined;
  const chosen = await vscode.window.showQuickPick(variants.map(variantItem), {
    title: t('Files of {0}', id),
    placeHolder: t('It is downloaded when the next analysis needs it'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  return chosen?.ref;
}

/** The files of a hub model; undefined when the user cancelled. */
async function askVariants(client: EngineClient, id: string): Promise<HubModel[] | undefined> {
  const title = vscode.l10n.t('Asking the hub for {0}', id);
  try {
    return await tellProgress({ title }, (_bar, cancel) =>
      client.request('models/variants', { ref: id }, cancel),
    );
  } catch (error) {
    if (error instanceof EngineError && error.cancelled) return undefined;
    throw error;
  }
}

function variantItem({ ref, label, detail }: HubModel): VariantItem {
  return {
    ref,
    label: foreign(label),
    description: foreign(detail),
    detail: precisionOf(label) ?? vscode.l10n.t('as exported'),
  };
}
