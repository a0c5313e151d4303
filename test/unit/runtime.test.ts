import assert from 'node:assert/strict';
import { decodeModel } from '../../engine/runtime/onnxProto';
import { GraphBuilder } from '../../engine/runtime/graphBuilder';
import { OutOfMemoryError, RefusedError } from '../../engine/errors';
import { refusedByRuntime } from '../../engine/runtime/complaint';
import { refusalOfAllocation, refuseUnlessFits, refuseUnlessHeld } from '../../engine/runtime/memory';
import { SharedCache } from '../../engine/runtime/sharedCache';

describe('memory budget', () => {
  it('refuses in one sentence what is beyond the limit, before it is allocated', () => {
    assert.throws(() => refuseUnlessFits(101 * 2 ** 20, 100, 'An analysis of 9 tokens'), {
      name: 'RefusedError',
      message: 'An analysis of 9 tokens needs about 101 MiB of memory; the limit is 100 MiB.',
    });
    refuseUnlessFits(100 * 2 ** 20, 100, 'An analysis of 9 tokens');
  });

  it('refuses what the machine does not have, whatever the limit', () => {
    assert.throws(() => refuseUnlessFits(2 ** 60, Infinity, 'That'), /MiB are free/);
  });

  it('what it refuses is told from other refusals, whoever says so', () => {
    assert.throws(() => refuseUnlessFits(2 ** 60, Infinity, 'That'), OutOfMemoryError);
    assert.throws(() => refuseUnlessHeld(2, 'It', 1), OutOfMemoryError);
    const native = 'Non-zero status code returned while running MatMul node. Failed to allocate memory';
    assert.ok(refusedByRuntime('run', new Error(native)) instanceof OutOfMemoryError);
    assert.ok(!(refusedByRuntime('run', new Error('invalid model')) instanceof OutOfMemoryError));
    assert.throws(
      () => new ArrayBuffer(2 ** 52),
      (error: Error) => {
        assert.ok(refusalOfAllocation(error) instanceof OutOfMemoryError, error.message);
        return true;
      },
    );
    const other = new RangeError('Maximum call stack size exceeded');
    assert.equal(refusalOfAllocation(other), other);
    assert.ok(new OutOfMemoryError('x') instanceof RefusedError, 'exit code 3, as other refusals');
  });
});

describe('session cache', () => {
  const session = (released: string[], name: string) => ({
    name,
    release: async () => {
      released.push(name);
    },
  });

  it('makes each once and releases the least recently used', async () => {
    const released: string[] = [];
    const made: string[] = [];
    const cache = new SharedCache<ReturnType<typeof session>>({ max: 2, release: one => one.release() });
    const get = (name: string) =>
      cache.get(name, async () => {
        made.push(name);
        return session(released, name);
      });
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) assert.equal((await get(name)).name, name);
    assert.deepEqual(made, ['a', 'b', 'c', 'b']);
    assert.deepEqual(released, ['b', 'c']);
    await cache.clear();
    assert.deepEqual(released.sort(), ['a', 'b', 'b', 'c']);
  });

  it('forgets a failed make', async () => {
    const cache = new SharedCache<ReturnType<typeof session>>({ max: 2, release: one => one.release() });
    await assert.rejects(
      cache.get('a', async () => Promise.reject(new Error('no'))),
      /no/,
    );
    assert.equal((await cache.get('a', async () => session([], 'a'))).name, 'a');
  });
});

describe('graph builder', () => {
  it('names outputs after their values, and copies only inputs and values that leave twice', () => {
    const g = new GraphBuilder();
    const a = g.input('a', 'float32', [2]);
    const sum = g.op('Add', [a, a]);
    g.output('sum', sum);
    g.output('twice', sum);
    g.output('same', a);
    g.output('square', g.op('Mul', [sum, sum]));
    const nodes = decodeModel(g.encode()).graph!.node.map(n => [n.op_type, n.input, n.output]);
    assert.deepEqual(nodes, [
      ['Add', ['a', 'a'], ['sum']],
      ['Identity', ['sum'], ['twice']],
      ['Identity', ['a'], ['same']],
      ['Mul', ['sum', 'sum'], ['square']],
    ]);
  });
});
