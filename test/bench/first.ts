import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';

const ENGINE = join('dist', 'engine.js');

/** From the start of the engine's process to the thumbnails of the first layer, and to the end of the analysis. */
export interface FirstThumbnails {
  first: Moment;
  done: Moment;
}

interface Moment {
  milliseconds: number;
  /** Of the engine's process, where the system tells it of another process. */
  cpuMilliseconds: number | null;
}

/** The bundled model and so many tokens in the built engine, as the extension starts it. */
export async function timeFirst(tokens: number): Promise<FirstThumbnails> {
  if (!existsSync(ENGINE)) throw new Error('dist/engine.js is not built: npm run build');
  const began = performance.now();
  const child = fork(ENGINE, [], { serialization: 'advanced', execArgv: [] });
  const connection = createMessageConnection(new IPCMessageReader(child), new IPCMessageWriter(child));
  const moment = (): Moment => ({
    milliseconds: performance.now() - began,
    cpuMilliseconds: cpuOf(child),
  });
  let first: Moment | null = null;
  connection.onNotification('analysis/core', () => void (first ??= moment()));
  connection.listen();
  try {
    await connection.sendRequest('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    await connection.sendRequest('analysis/start', {
      id: 'bench',
      model: 'bundled',
      text: readFileSync('test/fixtures/sample.txt', 'utf8'),
      device: 'cpu',
      maxTokens: tokens,
      mechanisms: [],
      propagate: false,
    });
    return { first: first!, done: moment() };
  } finally {
    connection.dispose();
    child.disconnect();
  }
}

/** User and system time in hundredths of a second, as Linux counts. */
function cpuOf({ pid }: ChildProcess): number | null {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return null;
  const fields = readFileSync(file, 'utf8').split(') ')[1]!.split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
