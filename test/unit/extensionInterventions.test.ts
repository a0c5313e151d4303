import assert from 'node:assert/strict';
import type { CoreInfo, Intervention, TokenTable } from '../../shared/protocol/engine';
import type { Analysis } from '../../extension/analysis/analysis';
import { changeStep } from '../../extension/editor/changeScale';
import { settled, shifted, type Anchored } from '../../extension/interventions/interventionAnchors';
import { describeIntervention } from '../../extension/interventions/interventionText';
import { isViewMessage } from '../../extension/views/viewMessage';
import { setting } from '../support/settings';

const t = (message: string, ...args: (string | number)[]) =>
  message.replace(/\{(\d)\}/g, (_, index: string) => String(args[Number(index)]));

const everywhere = { core: null, head: null };
const span: Intervention = { kind: 'span', ...everywhere, from: 1, to: 3, queries: null };
const edge: Intervention = { kind: 'edge', core: 1, head: 0, query: 4, key: 1 };

describe('extension: interventions', () => {
  it('are said in words', () => {
    const table = (text: string[]) => ({ text }) as TokenTable;
    const names = {
      cores: [
        { core: 0, kind: 'encoder', layer: 0 },
        { core: 1, kind: 'cross', layer: 0 },
        { core: 2, kind: 'decoder', layer: 0 },
      ] as CoreInfo[],
      text: table(['The', ' cat', '\n sat', ' on', ' the', ' mat']),
      target: table(['Le', ' chat']),
    };
    const say = (one: Intervention) => describeIntervention(one, names, t);
    assert.equal(say({ kind: 'head', core: 1, head: 3 }), 'cross layer 0, head 3 knocked out');
    assert.equal(say(span), '“cat sat” (1-2) hidden in all heads');
    assert.equal(
      say({ ...span, core: 2, from: 1, to: 2, queries: { from: 3, to: 5 } }),
      '“chat” (1) hidden from tokens 3-4 in all heads of decoder layer 0',
    );
    assert.equal(say({ ...span, side: 'target', from: 0, to: 1 }), '“Le” (0) hidden in all heads');
    assert.equal(say(edge), '“cat” (1) hidden from token 4 in cross layer 0, head 0');
    const choice = setting('local', { window: 8 });
    assert.equal(say({ kind: 'mechanism', ...everywhere, choice }), 'local (window 8) in all heads');
  });

  it('go with their text when it is edited, and are lost where it is rewritten', () => {
    const anchored = (places: Anchored['places']): Anchored[] => [{ intervention: span, places, ids: [] }];
    const edit = (rangeOffset: number, rangeLength: number, text: string) => [
      { rangeOffset, rangeLength, text },
    ];
    const places = (changes: ReturnType<typeof edit>) =>
      shifted(anchored([{ start: 10, end: 20 }]), changes)[0]!.places;
    assert.deepEqual(places(edit(0, 0, 'New ')), [{ start: 14, end: 24 }]);
    assert.deepEqual(places(edit(2, 8, '')), [{ start: 2, end: 12 }]);
    assert.deepEqual(places(edit(20, 3, 'x')), [{ start: 10, end: 20 }]);
    assert.deepEqual(places(edit(19, 3, 'x')), [null]);
    assert.deepEqual(places(edit(12, 0, 'x')), [null]);
    assert.deepEqual(places([...edit(30, 0, 'a'), ...edit(1, 0, 'bc')]), [{ start: 12, end: 22 }]);
  });

  it('are found again in a new analysis of the text, or counted as lost', () => {
    const analysis = (ids: number[], heads = 2) =>
      ({
        began: {
          model: {
            cores: [
              { core: 0, heads },
              { core: 1, heads },
            ],
          },
          tokens: { ids: Int32Array.from(ids) },
          target: null,
        },
        tokensAt: (start: number, end: number) =>
          Array.from({ length: Math.ceil((end - start) / 5) }, (_, i) => start / 5 + i),
      }) as unknown as Analysis;
    const ids = [Int32Array.of(7, 8, 9)];
    const list: Anchored[] = [
      { intervention: span, places: [{ start: 25, end: 40 }], ids },
      { intervention: edge, places: [{ start: 5, end: 10 }, null], ids },
      { intervention: { kind: 'head', core: 1, head: 1 }, places: [], ids },
    ];
    assert.deepEqual(settled(list, analysis([7, 8, 9])).kept, [span, edge, list[2]!.intervention]);
    const moved = settled(list, analysis([7, 8, 9, 10]));
    assert.deepEqual(moved.kept, [{ ...span, from: 5, to: 8 }, list[2]!.intervention]);
    assert.equal(moved.lost, 1);
    assert.equal(settled(list, analysis([7, 8, 9], 1)).lost, 1, 'a head that the model does not have');
  });

  it('asked for by a view are checked', () => {
    const intervene = (toggle: unknown) => isViewMessage({ type: 'intervene', toggle });
    for (const one of [span, edge, { ...span, queries: { from: 1, to: 2 }, side: 'target' }])
      assert.ok(intervene(one), JSON.stringify(one));
    assert.ok(intervene({ kind: 'head', core: 0, head: 0 }));
    assert.ok(intervene({ kind: 'mechanism', ...everywhere, choice: setting('local') }));
    for (const one of [
      null,
      { kind: 'tail', ...everywhere },
      { kind: 'head', core: null, head: 0 },
      { ...span, from: -1 },
      { ...span, side: 'left' },
      { ...span, queries: {} },
      { ...edge, key: 'x' },
      { kind: 'mechanism', ...everywhere, choice: null },
    ])
      assert.ok(!intervene(one), JSON.stringify(one));
    const select = (change: unknown) => isViewMessage({ type: 'select', selection: { change } });
    assert.ok(select(null) && select({ kind: 'plan' }) && select({ kind: 'interventions' }));
    assert.ok(select({ kind: 'mechanism', choice: setting('lsh') }));
    assert.ok(!select({ kind: 'mechanism' }) && !select({ kind: 'x' }));
  });

  it('colour a token in steps up to the limit', () => {
    assert.deepEqual(
      [0, 0.04, 0.2, -0.5, 1, 7].map(change => changeStep(change, 1)),
      [0, 0, 1, 3, 5, 5],
    );
  });
});
