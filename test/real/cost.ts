/**
 * What a model takes in a process of its own: `cost.ts plain|inspector MODEL TOKENS` prints a Cost. Plain: the file as it is in ONNX
 * Runtime; inspector: loading with its proof, and an analysis with every measure.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Engine } from '../../engine/engine';

/** Since a beginning; CPU time of all threads, user and system. */
interface Taken {
  seconds: number;
  cpu: number;
}
export interface Cost {
  load: Taken;
  loadPeak: number;
  run: Taken;
  peak: number;
  /** From the beginning of the run to the first layer's thumbnails. */
  first?: Taken;
}

const TEXT = join(__dirname, '../fixtures/sample.txt');

function clock(): () => Taken {
  const began = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return { seconds: (performance.now() - began) / 1000, cpu: (user + system) / 1e6 };
  };
}

const peakMiB = (): number => process.resourceUsage().maxRSS / 1024;

async function plain(folder: string, tokens: number): Promise<Cost> {
  const loading = clock();
  const session = await InferenceSession.create(join(folder, 'model.onnx'));
  const [load, loadPeak] = [loading(), peakMiB()];
  const feeds = Object.fromEntries(
    session.inputMetadata.map(input => [input.name, feedOf(input, tokens, headSizeIn(folder))] as const),
  );
  const running = clock();
  await session.run(feeds, [session.outputNames[0]!]);
  return { load, loadPeak, run: running(), peak: peakMiB() };
}

function headSizeIn(folder: string): number {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, number>;
  return config['hidden_size']! / config['num_attention_heads']!;
}

function feedOf(input: InferenceSession.ValueMetadata, tokens: number, headSize: number): Tensor {
  if (!input.isTensor) throw new Error(`${input.name} is no tensor`);
  const { name, shape, type } = input;
  const filled = (value: (i: number) => number) =>
    new Tensor(
      'int64',
      BigInt64Array.from({ length: tokens }, (_, i) => BigInt(value(i))),
      [1, tokens],
    );
  if (name === 'input_ids') return filled(i => 1000 + ((i * 37) % 5000));
  if (name === 'attention_mask') return filled(() => 1);
  if (name === 'position_ids') return filled(i => i);
  if (name === 'token_type_ids') return filled(() => 0);
  // Past keys and values, of none.
  const open = [1, 0, 0, headSize];
  const dims = shape.map((dim, axis) => (typeof dim === 'number' ? dim : open[axis]!));
  return type === 'float16'
    ? new Tensor('float16', new Uint16Array(0), dims)
    : new Tensor('float32', new Float32Array(0), dims);
}

async function inspector(folder: string, tokens: number): Promise<Cost> {
  let running = clock();
  let first: Taken | undefined;
  const engine = new Engine(name => {
    if (name === 'analysis/core') first ??= running();
  });
  const model = { model: folder, device: 'cpu' as const };
  const loading = clock();
  await engine.request('models/load', { ref: folder, device: 'cpu' });
  const [load, loadPeak] = [loading(), peakMiB()];
  const text = readFileSync(TEXT, 'utf8').repeat(Math.ceil(tokens / 2000));
  running = clock();
  const options = { ...model, maxTokens: tokens, mechanisms: [], propagate: false };
  const summary = await engine.request('analysis/start', { id: 'cost', text, ...options });
  const run = running();
  if (summary.tokens.ids.length !== tokens) throw new Error(`the text has fewer than ${tokens} tokens`);
  if (!summary.verified.holds) throw new Error('not verified');
  return { load, loadPeak, run, peak: peakMiB(), first };
}

async function main([kind, folder, tokens]: string[]): Promise<void> {
  const measured = { plain, inspector }[kind!]!;
  const cost = await measured(folder!, Number(tokens));
  process.stdout.write(JSON.stringify(cost), () => process.exit(0));
}

if (require.main === module) void main(process.argv.slice(2));
