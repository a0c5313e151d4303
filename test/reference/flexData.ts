/**
 * Writes what flex_check.py compares: `npx tsx test/reference/flexData.ts OUT [--model REF] [--tokens N]` exports a plan that holds every
 * mechanism as plan.py, and beside it the pairs that our own mechanisms keep, their outputs, and the model's q, k and v.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { visibleKeys } from '../../engine/attention/core';
import { Engine } from '../../engine/engine';
import { flexAttention } from '../../engine/export/flexAttention';
import { writeSafetensors } from '../../engine/export/safetensors';
import { float32, type Tensor } from '../../engine/runtime/tensor';
import { headMasks } from '../../engine/service/plan/headMasks';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { spread } from './planHeads';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string', default: 'bundled' }, tokens: { type: 'string', default: '300' } },
});
const [out = 'test-artifacts/flex'] = positionals;

async function main(): Promise<void> {
  const engine = new Engine();
  await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
  const { model } = await engine.request('analysis/start', {
    id: 'flex',
    model: values.model,
    text: readFileSync('test/fixtures/sample.txt', 'utf8'),
    device: 'cpu',
    maxTokens: Number(values.tokens),
    mechanisms: [],
    propagate: false,
  });
  const analysis = engine.analysis('flex');
  const heads = spread(model);
  const cores = await headMasks(analysis, heads, neverCancelled);
  const { text, notes } = flexAttention(model, cores);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'plan.py'), text);
  const tensors: Record<string, Tensor> = {};
  const expected = [];
  for (const { info, heads: masks } of cores) {
    const { input } = await analysis.tensors(info.core, neverCancelled);
    const put = (name: string, data: Float32Array, dims: number[]) =>
      (tensors[`${info.core}.${name}`] = float32(data, dims));
    put('q', input.q, [input.heads, input.queries, input.dim]);
    put('k', input.k, [input.kvHeads, input.keys, input.dim]);
    put('v', input.v, [input.kvHeads, input.keys, input.valueDim]);
    const width = Math.ceil(input.keys / 8);
    for (const { head, choice, mask } of masks) {
      const bits = new Uint8Array(input.queries * width);
      const refused = mask.kind === 'none';
      const attended =
        choice.name === 'dense' || refused
          ? null
          : await analysis.attendHead(choice, info.core, head, input, neverCancelled);
      for (let query = 0; query < input.queries; query++) {
        const { from, to } = visibleKeys(input, query);
        const keys = attended?.row(0, query).keys ?? Array.from({ length: to - from }, (_, t) => from + t);
        for (const key of keys) bits[query * width + (key >> 3)]! |= 1 << (key & 7);
      }
      if (attended) put(`output.${head}`, attended.output, [input.queries, input.valueDim]);
      expected.push({
        core: info.core,
        head,
        mechanism: choice.name,
        params: choice.params,
        kind: mask.kind,
        averaged: mask.kind === 'clusters' && mask.averaged,
        scale: input.rule.scale[head],
        bits: Buffer.from(bits).toString('base64'),
      });
    }
  }
  await writeSafetensors(join(out, 'tensors.safetensors'), tensors);
  writeFileSync(
    join(out, 'expected.json'),
    JSON.stringify({ tokens: cores[0]!.keys, heads: expected, notes }),
  );
  await engine.dispose();
  console.log(`${out}: ${expected.length} heads, ${text.length} characters of Python`);
}

void main();
