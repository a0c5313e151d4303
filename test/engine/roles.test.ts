import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { profileCore, type TokenMarks } from '../../engine/measure/profile';
import type { CoreInfo, Role, RoleScore } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { random } from '../oracle/random';

/** Heads with a planted pattern: an opaque bias of `strength` on the wished pairs, q and k almost nothing. */
function planted(length: number, causal: boolean, wanted: ((i: number, j: number) => boolean)[]): CoreInput {
  const heads = wanted.length;
  const dim = 4;
  const { normal } = random(5);
  const noise = (size: number) => Float32Array.from({ length: size }, () => normal() * 0.1);
  const data = new Float32Array(heads * length * length);
  wanted.forEach((test, head) => {
    for (let i = 0; i < length; i++) {
      for (let j = 0; j < length; j++) if (test(i, j)) data[(head * length + i) * length + j] = 8;
    }
  });
  return {
    heads,
    kvHeads: heads,
    queries: length,
    keys: length,
    dim,
    valueDim: dim,
    q: noise(heads * length * dim),
    k: noise(heads * length * dim),
    v: noise(heads * length * dim),
    rule: {
      scale: new Float32Array(heads).fill(0.5),
      softCap: null,
      mask: { causal, window: null },
      bias: { kind: 'opaque', heads, data },
    },
  };
}

describe('roles', () => {
  const length = 120;
  // A passage of 60 distinct tokens, said twice: repeats are rare enough to be told from chance.
  const ids = Int32Array.from({ length }, (_, t) => 10 + (t % 60));
  const every = (step: number) => Uint8Array.from({ length }, (_, t) => Number(t % step === step - 1));
  const marks: TokenMarks = { ids, separator: every(40), punctuation: every(15) };
  const patterns: Partial<Record<Role, (i: number, j: number) => boolean>> = {
    self: (i, j) => i === j,
    previous: (i, j) => j === i - 1,
    next: (i, j) => j === i + 1,
    first: (_, j) => j === 0,
    separator: (_, j) => marks.separator[j] === 1,
    punctuation: (_, j) => marks.punctuation[j] === 1,
    duplicate: (i, j) => j < i && ids[j] === ids[i],
    induction: (i, j) => j > 0 && j <= i && ids[j - 1] === ids[i],
    local: (i, j) => Math.abs(i - j) >= 2 && Math.abs(i - j) <= 6,
    broad: () => false,
  };
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());

  async function bestRoles(causal: boolean, roles: Role[], tokens = marks): Promise<(Role | undefined)[]> {
    const input = planted(
      length,
      causal,
      roles.map(role => patterns[role]!),
    );
    const { heads } = input;
    const info: CoreInfo = {
      core: 0,
      kind: 'self',
      layer: 0,
      heads,
      kvHeads: heads,
      dim: 4,
      mask: '',
      causal,
    };
    const profile = await profileCore(input, info, tokens, { runtime, signal: neverCancelled });
    for (const { roles: found } of profile.heads) {
      for (let t = 1; t < found.length; t++) assert.ok(found[t - 1]!.score >= found[t]!.score, 'best first');
    }
    return profile.heads.map(head => head.roles[0]?.role);
  }

  /** All roles of one planted head. */
  async function rolesOfPlanted(
    causal: boolean,
    wanted: (i: number, j: number) => boolean,
    tokens = marks,
    window: CoreInput['rule']['mask']['window'] = null,
  ): Promise<RoleScore[]> {
    const input = planted(length, causal, [wanted]);
    input.rule.mask.window = window;
    const info = { core: 0, kind: 'self', layer: 0, heads: 1, kvHeads: 1, dim: 4, mask: '', causal } as const;
    const profile = await profileCore(input, info, tokens, { runtime, signal: neverCancelled });
    return profile.heads[0]!.roles;
  }

  it('a planted pattern earns its role: causal', async () => {
    // With half of the queries before the first repeat, a head of repeats is broad until then: what counts is the role.
    const roles: Role[] = ['self', 'previous', 'first', 'induction', 'duplicate', 'local', 'broad'];
    assert.deepEqual(await bestRoles(true, roles), roles);
  });

  it('a planted pattern earns its role: bidirectional', async () => {
    const roles: Role[] = ['self', 'previous', 'next', 'first', 'separator', 'punctuation', 'local', 'broad'];
    assert.deepEqual(await bestRoles(false, roles), roles);
  });

  it('a head that looks a fixed 37 back has that distance as its role, whatever the text repeats', async () => {
    const distinct = { ...marks, ids: Int32Array.from({ length }, (_, t) => t) };
    const back = await rolesOfPlanted(true, (i, j) => i - j === 37, distinct);
    assert.deepEqual([back[0]?.role, back[0]?.distance, back[0]?.ahead], ['offset', 37, undefined]);
    const ahead = await rolesOfPlanted(false, (i, j) => j - i === 21, distinct);
    assert.deepEqual([ahead[0]?.role, ahead[0]?.distance, ahead[0]?.ahead], ['offset', 21, true]);
    // Where the text says itself again at that distance, what it looks for are repeats.
    const repeated = await rolesOfPlanted(true, (i, j) => i - j === 59);
    assert.equal(repeated[0]?.role, 'induction');
    assert.ok(!repeated.some(({ role }) => role === 'offset'));
  });

  it('a head that is even over its last 16 tokens is local, whether its scores or the model leave it no more', async () => {
    const near = await rolesOfPlanted(true, (i, j) => i - j < 16);
    const windowed = await rolesOfPlanted(true, () => false, marks, { before: 15, after: 0 });
    for (const roles of [near, windowed])
      assert.deepEqual(
        roles.map(({ role }) => role),
        ['local'],
      );
  });

  it('an even head is not "punctuation" because the text is full of it', async () => {
    const full = { ...marks, punctuation: new Uint8Array(length).fill(1) };
    assert.deepEqual(await bestRoles(false, ['broad'], full), ['broad']);
  });

  it('without repeats there are no roles of repeats', async () => {
    const distinct = { ...marks, ids: Int32Array.from({ length }, (_, t) => t) };
    assert.ok(!(await bestRoles(true, ['previous'], distinct)).includes('induction'));
  });
});
