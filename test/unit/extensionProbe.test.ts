import assert from 'node:assert/strict';
import type { HeadProbe } from '../../shared/protocol/engine';
import { withVscode } from '../fixtures/fakeVscode';

const change = (delta: number) => ({ delta, low: delta - 0.1, high: delta + 0.1 });

const PROBE = {
  model: { name: 'tiny', layers: 2, heads: 1, causal: true },
  probe: { tokens: 512, repeats: 4, seed: 1 },
  measure: 'loss',
  loss: { first: 8, repeated: 0.5 },
  heads: [
    { core: 1, layer: 1, head: 0, roles: [{ role: 'induction', score: 0.9 }] },
    { core: 0, layer: 0, head: 0, roles: [] },
  ].map((one, at) => ({ ...one, ablation: { zero: change(2 - at), mean: change(1 - at) } })),
  circuit: null,
  ids: [],
  provenance: {},
} as unknown as HeadProbe;

/** The command, with an engine that answers so, and somebody who presses this button and saves there. */
async function run(answer: () => Promise<HeadProbe>, { pressed = '', cancelled = false } = {}) {
  const asked: unknown[] = [];
  const reported: number[] = [];
  const shown: { language: string; content: string }[] = [];
  const saved: { path: string; text: string }[] = [];
  const told: string[][] = [];
  let tellProgress: (progress: object) => void = () => undefined;
  const vscode = {
    l10n: {
      t: (text: string, ...values: unknown[]) => text.replace(/\{(\d)\}/g, (_, at) => String(values[at])),
    },
    ProgressLocation: { Window: 10, Notification: 15 },
    Uri: { joinPath: ({ path }: { path: string }, name: string) => ({ path: `${path}/${name}` }) },
    window: {
      withProgress: (_: object, work: (bar: object, cancel: object) => unknown) =>
        work(
          { report: ({ increment }: { increment: number }) => reported.push(increment) },
          { isCancellationRequested: cancelled },
        ),
      showTextDocument: (document: (typeof shown)[number]) => Promise.resolve(void shown.push(document)),
      showInformationMessage: (...words: string[]) => {
        told.push(words);
        return Promise.resolve(words.includes(pressed) ? pressed : undefined);
      },
      showSaveDialog: ({ defaultUri }: { defaultUri: object }) => Promise.resolve(defaultUri),
    },
    workspace: {
      workspaceFolders: [{ uri: { path: '/here' } }],
      openTextDocument: (document: (typeof shown)[number]) => Promise.resolve(document),
      fs: {
        writeFile: ({ path }: { path: string }, bytes: Uint8Array) =>
          Promise.resolve(void saved.push({ path, text: Buffer.from(bytes).toString('utf8') })),
      },
    },
  };
  const { probeHeads } = await withVscode(vscode, () => import('../../extension/model/probeCommand'));
  const client = {
    on: (_: string, listener: typeof tellProgress) => {
      tellProgress = listener;
      return { dispose: () => (tellProgress = () => undefined) };
    },
    request: (method: string, params: object) => {
      asked.push([method, params]);
      tellProgress({ id: 'probe', fraction: 0.5, message: 'The probe without each head' });
      tellProgress({ id: 'another', fraction: 0.9, message: 'of an analysis' });
      return answer();
    },
  };
  await probeHeads({ client, settings: { model: 'bundled', device: 'cpu' } } as never);
  // What is offered is not waited for.
  await new Promise(setImmediate);
  return { asked, reported, shown, saved, told };
}

describe('extension: the probe of heads', () => {
  it('is written out as a document, and as a file where that is wanted', async () => {
    const { asked, reported, shown, saved, told } = await run(() => Promise.resolve(PROBE), {
      pressed: 'Save as CSV',
    });
    assert.deepEqual(asked, [['heads/probe', { model: 'bundled', device: 'cpu' }]]);
    assert.deepEqual(reported, [50], 'of the probe alone');
    assert.equal(shown[0]!.language, 'markdown');
    assert.match(shown[0]!.content, /^# The heads of tiny on repeated random words\n/);
    assert.match(shown[0]!.content, /\| 1 \| 1\.0 \| \+2 \(.*\) \| \+1 \(.*\) \| induction 90.% \|/);
    assert.deepEqual(told[0]!.slice(1), ['Save as CSV', 'Save as JSON']);
    assert.equal(saved[0]!.path, '/here/heads.csv');
    assert.equal(saved[0]!.text.trim().split(/\r?\n/).length, 3);
  });

  it('shows nothing once it is cancelled, and says why it failed', async () => {
    const { shown, told } = await run(() => Promise.reject(new Error('Cancelled.')), { cancelled: true });
    assert.deepEqual([shown, told], [[], []]);
    await assert.rejects(
      run(() => Promise.reject(new Error('The probe needs 32 tokens.'))),
      /needs 32 tokens/,
    );
  });
});
