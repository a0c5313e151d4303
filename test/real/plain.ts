/** The model as it is in ONNX Runtime on some tokens: `plain.ts MODEL TOKENS` prints seconds of loading and of the forward, and peak MiB. */
import { InferenceSession, Tensor } from 'onnxruntime-node';

async function main(path: string, tokens: number): Promise<void> {
  const began = performance.now();
  const session = await InferenceSession.create(path);
  const loaded = performance.now();
  const ids = BigInt64Array.from({ length: tokens }, (_, i) => BigInt(1000 + ((i * 37) % 5000)));
  const filled = (name: string, value: (i: number) => bigint) =>
    new Tensor(
      'int64',
      /^(input_ids|attention|position|token_type)/.test(name) ? ids.map((_, i) => value(i)) : ids,
      [1, tokens],
    );
  const feeds: Record<string, Tensor> = {};
  for (const input of session.inputMetadata) {
    const { name } = input;
    if (name === 'input_ids') feeds[name] = new Tensor('int64', ids, [1, tokens]);
    else if (name === 'attention_mask') feeds[name] = filled(name, () => 1n);
    else if (name === 'position_ids') feeds[name] = filled(name, BigInt);
    else if (name === 'token_type_ids') feeds[name] = filled(name, () => 0n);
    else if (input.isTensor) {
      const dims = input.shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : 0));
      feeds[name] = new Tensor('float32', new Float32Array(0), dims);
    }
  }
  const ready = performance.now();
  await session.run(feeds, [session.outputNames[0]!]);
  const forward = (performance.now() - ready) / 1000;
  const peak = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(JSON.stringify({ load: (loaded - began) / 1000, forward, peak }));
}

void main(process.argv[2]!, Number(process.argv[3]));
