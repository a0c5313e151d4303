import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import { clearestHead } from '../../shared/host/clearestHead';
import type { CoreKind, CoreResult, Role } from '../../shared/protocol/engine';
import { withVscode } from '../fixtures/fakeVscode';

/** A core whose heads have one role each. */
function coreOf(core: number, roles: [Role, number][], kind: CoreKind = 'self'): CoreResult {
  const heads = roles.map(([role, score], head) => ({ core, head, roles: [{ role, score }] }));
  return { info: { core, layer: core, kind, heads: heads.length }, heads } as unknown as CoreResult;
}

const first = coreOf(0, [
  ['local', 0.99],
  ['previous', 0.5],
]);
const second = coreOf(1, [
  ['induction', 0.8],
  ['broad', 1],
]);

/** A text that is analysed, core after core. */
function textOf(uri: string, cores: CoreResult[] = []) {
  const began = {
    model: {
      cores: [
        { core: 0, heads: 2 },
        { core: 1, heads: 2 },
      ],
    },
  };
  return { uri, began, cores, ready: null as object | null };
}

async function open() {
  const { SelectionModel, SelectionKeeper } = await withVscode({ EventEmitter: Emitter }, async () => ({
    ...(await import('../../extension/views/selectionModel')),
    ...(await import('../../extension/views/selectionKeeper')),
  }));
  const events = new Emitter<object>();
  const store = { shown: null as ReturnType<typeof textOf> | null, afterEvent: events.event };
  const selection = new SelectionModel();
  new SelectionKeeper(store as never, selection);
  const show = (analysis: ReturnType<typeof textOf> | null) => {
    store.shown = analysis;
    events.fire({ changed: analysis });
  };
  const finishCore = (core: CoreResult) => {
    store.shown!.cores = [...store.shown!.cores, core];
    events.fire({ update: { type: 'core' } });
  };
  const finish = () => {
    store.shown!.ready = {};
    events.fire({ changed: store.shown });
  };
  const head = () => `${selection.current.core}.${selection.current.head}`;
  return { selection, show, finishCore, finish, head };
}

describe('the clearest head', () => {
  it('has the strongest role; looking nearby or everywhere counts little', () => {
    const found = clearestHead([first, second])!;
    assert.deepEqual([found.core, found.head], [1, 0]);
    assert.equal(clearestHead([]), null);
  });

  it('is one that the text attends to itself with, where there is one', () => {
    const cross = coreOf(2, [['induction', 1]], 'cross');
    assert.equal(clearestHead([first, cross])!.core, 0);
    assert.equal(clearestHead([cross])!.core, 2);
  });
});

describe('extension: one selection from the first moment', () => {
  it('is the clearest head so far, and stays when all are there', async () => {
    const { selection, show, finishCore, finish, head } = await open();
    show(textOf('a'));
    assert.equal(head(), 'null.null');
    finishCore(first);
    assert.equal(head(), '0.1');
    finishCore(second);
    finish();
    assert.equal(head(), '1.0');
    assert.ok(selection.isGiven);
    show(
      textOf('a', [
        first,
        coreOf(1, [
          ['broad', 1],
          ['broad', 1],
        ]),
      ]),
    );
    finish();
    assert.equal(head(), '1.0', 'a new analysis of the same model keeps it');
  });

  it('is what somebody has chosen, the mean too', async () => {
    const { selection, show, finishCore, finish, head } = await open();
    show(textOf('a'));
    finishCore(first);
    selection.select({ core: 0, head: 0 });
    finishCore(second);
    finish();
    assert.equal(head(), '0.0');
    assert.ok(!selection.isGiven);
    selection.select({ core: null });
    show(textOf('a', [first, second]));
    finish();
    assert.equal(head(), 'null.null');
    show(null);
    show(textOf('a', [first, second]));
    assert.equal(head(), '1.0', 'after everything was cleared it starts anew');
  });
});
