import * as v from 'valibot';
import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import type { AnalysisStore } from '../analysis/analysisStore';
import { EngineDiedError, EngineError, type EngineClient } from '../engine/engineClient';
import { Kept, shortText } from '../kept';
import { tellOfDevice } from '../workbench/deviceSetting';
import { fillingWhile } from '../workbench/progressBar';
import type { Settings } from '../workbench/settings';
import { tell, tellProgress } from '../workbench/tell';

const MOST_RECENT = 8;
const BUNDLED = 'bundled';

export interface ModelChoice {
  client: EngineClient;
  settings: Settings;
  store: AnalysisStore;
  memory: vscode.Memento;
}

/** The models chosen last that could be loaded. */
export const recentModels = (memory: vscode.Memento): string[] => keptModels(memory).value ?? [];

const keptModels = (memory: vscode.Memento) =>
  new Kept(memory, 'recentModels', v.pipe(v.array(shortText), v.maxLength(MOST_RECENT)));

/**
 * Loads a model, and only then puts it in the place of the current one and analyzes the shown text with it. What fails leaves
 * the finished analysis as it was, and the setting too unless the model is sound and the text is to blame.
 */
export async function useModel(ref: string, choice: ModelChoice): Promise<void> {
  const { settings, store, memory } = choice;
  const model = settings.absolute(ref);
  try {
    await load(model, choice);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    if (!error.cancelled) tellFailure(ref, error, choice);
    return;
  }
  const { shown } = store;
  const failure = shown
    ? await store.analyzeWith(model, shown.document, (shown.isSelection && shown.currentRange()) || undefined)
    : null;
  if (failure instanceof EngineDiedError) return tellFailure(ref, failure, choice);
  await settings.setModel(ref);
  const others = recentModels(memory).filter(other => other !== ref);
  await keptModels(memory).keep(ref === BUNDLED ? others : [ref, ...others].slice(0, MOST_RECENT));
  if (failure) tellFailure(ref, failure, choice);
}

/** The engine proves a model when it loads it. */
async function load(ref: string, { client, settings }: ModelChoice): Promise<void> {
  const title = vscode.l10n.t('Loading the model {0}', nameOf(ref));
  await tellProgress({ title }, (bar, cancel) =>
    // Loads without an analysis are told without an id.
    fillingWhile(
      bar,
      client,
      ({ id }) => id === '',
      () => client.request('models/load', { ref, device: settings.device }, cancel),
    ),
  );
}

/** Told once, not awaited, with what helps: another device where it is the device's fault, else another model. */
function tellFailure(ref: string, failure: EngineError, choice: ModelChoice): void {
  const { t } = vscode.l10n;
  const sentence = t('The model {0} was not used: {1}', nameOf(ref), failure.message);
  if (failure.isOfDevice) return tellOfDevice(sentence);
  const bundled = t('Use the Bundled Model');
  const other = t('Select Another Model');
  const buttons = ref === BUNDLED ? [other] : [bundled, other];
  const told = tell('error', sentence, ...buttons);
  void told.then(button => {
    if (button === bundled) return useModel(BUNDLED, choice);
    if (button === other) return vscode.commands.executeCommand('attentionInspector.selectModel');
    return undefined;
  });
}

/** The last part of a path or hub id: what one calls the model. */
export const modelName = (ref: string): string => ref.split(/[\\/]/).filter(Boolean).at(-1) ?? ref;

const nameOf = (ref: string) => foreign(modelName(ref));
