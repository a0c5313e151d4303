import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as v from 'valibot';
import { Engine } from '../../engine/engine';
import type { AnalysisSummary, Link } from '../../shared/protocol/engine';
import type * as schemas from '../../shared/tools/schemas';
import { Toolbox } from '../../shared/tools/tools';
import { writeEncoderDecoder } from '../fixtures/encoderDecoder';

const TEXT = 'the cat sat on the mat';
type Explained = v.InferOutput<typeof schemas.explainOutput>;

/** Cores in order: encoder, decoder, cross. */
describe("the assistant's tools on an encoder-decoder", function () {
  this.timeout(60_000);
  let folder: string;
  let summary: AnalysisSummary;
  let toolbox: Toolbox;
  const engine = new Engine();
  const { signal } = new AbortController();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sides-'));
    await writeEncoderDecoder(folder);
    toolbox = new Toolbox({
      ...{ model: folder, device: 'cpu', folders: [] },
      ask: (method, params, signal) => engine.request(method, params, signal),
      isLost: () => false,
      readText: () => Promise.reject(new Error('No files here.')),
    });
    summary = await engine.analyze({
      ...{ id: 'own', model: folder, text: TEXT, device: 'cpu', maxTokens: null },
      ...{ mechanisms: [], propagate: false },
    });
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  const explain = async (asked: object) =>
    (await toolbox.call('explain_token', { text: TEXT, ...asked }, signal)) as Explained;
  const ownOf = async (side: 'text' | 'target', core: number | null) =>
    (
      await engine.request('analysis/token', {
        ...{ id: 'own', core, head: core === null ? null : 1, side, tokens: [2], top: 12, mechanisms: [] },
      })
    )[0]!;
  const masses = (links: readonly Pick<Link, 'token' | 'mass'>[]) =>
    links.map(({ token, mass }) => [token, mass]);

  it('explain a word of the source in a decoder: who looks at it, and no figure of what it never asks', async () => {
    const [one] = (await explain({ token: 2, core: 2, head: 1 })).explained;
    const own = await ownOf('text', 2);
    assert.equal(one!.entropy, null);
    assert.deepEqual(one!.looksAt, []);
    assert.ok(own.lookedAtBy.length > 0);
    assert.deepEqual(masses(one!.lookedAtBy), masses(own.lookedAtBy));
    assert.ok(one!.lookedAtBy.every(({ side }) => side === 'target'));
  });

  it('explain a word of the target: where it looks in the source, with the figures of the engine', async () => {
    const { explained, tokens } = await explain({ token: 2, side: 'target', core: 2, head: 1 });
    const own = await ownOf('target', 2);
    assert.equal(tokens, summary.tokens.ids.length);
    assert.equal(explained[0]!.text, summary.target!.tokens.text[2]);
    assert.deepEqual([explained[0]!.entropy, explained[0]!.loss], [own.entropy, own.loss]);
    assert.deepEqual(masses(explained[0]!.looksAt), masses(own.looksAt));
    assert.ok(explained[0]!.looksAt.length > 0);
    assert.ok(explained[0]!.looksAt.every(({ side }) => side === 'text'));
  });

  it('have the cross attention of a mean beside that within a text', async () => {
    for (const side of ['text', 'target'] as const) {
      const [one] = (await explain({ token: 2, side })).explained;
      const own = await ownOf(side, null);
      assert.deepEqual(masses(one!.looksAt), masses(own.looksAt));
      assert.deepEqual(masses(one!.across!.looksAt), masses(own.across!.looksAt));
      assert.deepEqual(masses(one!.across!.lookedAtBy), masses(own.across!.lookedAtBy));
      const across = [...one!.across!.looksAt, ...one!.across!.lookedAtBy];
      assert.ok(across.length > 0 && across.every(link => link.side !== side));
    }
  });

  it('say of a model of one text that it has no target', async () => {
    const asked = explain({ token: 2, side: 'target', model: 'bundled' });
    await assert.rejects(asked, /The model reads one text: it has no target\./);
  });
});
