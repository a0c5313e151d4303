/**
 * The tokenizers library ends the whole process on some faulty definitions (a template that names an unknown token, a
 * merge shorter than the subword prefix). So a definition of unknown origin is tried in a process of its own first.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { RefusedError, told } from '../../errors';
import { WATCH_PROGRAM } from '../../runtime/watch';

const SAMPLE = 'The cat sat on the mat, 42 times! 😀 é\r\n\tשלום 日本 a\u0301 <s>';
const TIME_LIMIT = 60_000;
/** The largest published definitions take 400 MB. */
const MEMORY_LIMIT = 2 ** 30;

/**
 * Loads what comes on standard input and encodes a sample; an ordinary exception ends it with exit code 1. A thread beside it
 * ends the process when it takes too much memory, and when nobody waits for it any more.
 */
const PROGRAM = `
const { Worker } = require('node:worker_threads');
const shared = new SharedArrayBuffer(24);
new Int32Array(shared)[0] = 1;
new Float64Array(shared, 8).fill(${MEMORY_LIMIT});
new Worker(${JSON.stringify(WATCH_PROGRAM)}, {
  eval: true,
  workerData: { shared, parent: process.ppid, lastWords: 2 },
}).unref();
const { Tokenizer } = require(process.argv[1]);
const tokenizer = Tokenizer.fromString(require('fs').readFileSync(0, 'utf8'));
tokenizer.disableTruncation();
tokenizer.disablePadding();
tokenizer.encode(process.argv[2]).then(
  encoding => [encoding.getIds(), encoding.getTokens(), encoding.getOffsets()],
  () => process.exit(1),
);`;

/** Definitions that have survived, so that a model that is loaded again is not tried again. */
const survived = new Set<string>();

/** Throws RefusedError when the definition ends the process that reads it, or keeps it busy for ever. */
export async function tryTokenizer(path: string, json: string): Promise<void> {
  const key = createHash('sha256').update(json).digest('hex');
  if (survived.has(key)) return;
  const end = await run(json);
  if (end === 'lived') survived.add(key);
  else
    throw new RefusedError(
      told`The tokenizer ${path} cannot be used: its definition ${end} the tokenizers library.`,
    );
}

function run(json: string): Promise<'lived' | 'breaks' | 'hangs'> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', PROGRAM, require.resolve('tokenizers'), SAMPLE], {
      stdio: ['pipe', 'ignore', 'ignore'],
      // In VS Code the executable is Electron's.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', RUST_BACKTRACE: '0' },
      timeout: TIME_LIMIT,
      killSignal: 'SIGKILL',
    });
    child.on('error', reject);
    // It may end before it has read everything.
    child.stdin.on('error', () => undefined);
    child.stdin.end(json);
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve('hangs');
      else resolve(code === 0 || code === 1 ? 'lived' : 'breaks');
    });
  });
}
