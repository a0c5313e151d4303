import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import { fileSize } from '../../shared/numbers';
import type { ModelCacheInfo } from '../../shared/protocol/engine';
import type { EngineClient } from '../engine/engineClient';
import { tell } from '../workbench/tell';

/** "2 models, 1.2 GB". */
export function cacheSize({ models }: ModelCacheInfo): string {
  const { t } = vscode.l10n;
  const bytes = fileSize(models.reduce((sum, model) => sum + model.bytes, 0));
  return models.length === 1 ? t('1 model, {0}', bytes) : t('{0} models, {1}', models.length, bytes);
}

/** Shows the models that were downloaded, with their sizes, and removes those that the user marks. */
export async function showModelCache(client: EngineClient): Promise<void> {
  const { t } = vscode.l10n;
  const cache = await client.request('models/cache', {});
  const place = foreign(cache.folder);
  if (cache.models.length === 0)
    return void tell('information', t('No models were downloaded to {0}.', place));
  const marked = await vscode.window.showQuickPick(
    cache.models.map(({ id, bytes }) => ({ label: foreign(id), description: fileSize(bytes), id })),
    {
      title: t('Model cache: {0} in {1}', cacheSize(cache), place),
      placeHolder: t('Mark the models to remove; they can be downloaded again'),
      canPickMany: true,
    },
  );
  if (!marked?.length) return;
  const ids = marked.map(({ id }) => id);
  const left = await client.request('models/removeCached', { ids });
  const removed = cache.models.filter(
    ({ id }) => ids.includes(id) && !left.models.some(one => one.id === id),
  );
  void tell(
    'information',
    t('{0} removed, {1} left.', cacheSize({ ...cache, models: removed }), cacheSize(left)),
  );
}
