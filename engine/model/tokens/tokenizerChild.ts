/** A process that tokenizes by one definition, within limits of time and memory. It ends with its parent. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { LAST_WORDS } from '../../runtime/supervised';
import { WATCH_PROGRAM } from '../../runtime/watch';

/** The largest published definitions take 400 MB, the longest text as much again. */
export const TOKENIZER_LIMITS = { milliseconds: 40_000, bytes: 1.25 * 2 ** 30 };

/** What ends a child: a clause that goes on "its definition" or "it". */
export class TokenizerDiedError extends Error {
  override readonly name = 'TokenizerDiedError';
}

/** Answers one question after the other. A thread beside it (the watch) looks after memory and parent while it works. */
const PROGRAM = (bytes: number) => `
const { Worker } = require('node:worker_threads');
const shared = new SharedArrayBuffer(24);
const busy = new Int32Array(shared, 0, 1);
new Float64Array(shared, 8).fill(${bytes});
new Worker(${JSON.stringify(WATCH_PROGRAM)}, {
  eval: true,
  workerData: { shared, parent: process.ppid, lastWords: ${LAST_WORDS} },
}).unref();
const { Tokenizer } = require(process.argv[1]);
let tokenizer;
const answers = {
  load(json) {
    tokenizer = Tokenizer.fromString(json);
    tokenizer.disableTruncation();
    tokenizer.disablePadding();
    return tokenizer.getVocabSize(true);
  },
  async encode(text) {
    const encoding = await tokenizer.encode(text);
    return {
      ids: encoding.getIds(),
      tokens: encoding.getTokens(),
      offsets: encoding.getOffsets().flat(),
      special: encoding.getSpecialTokensMask(),
    };
  },
  entries: ids => Array.from(ids, id => tokenizer.idToToken(id) ?? ''),
};
process.on('message', async ([name, value]) => {
  Atomics.store(busy, 0, 1);
  Atomics.notify(busy, 0);
  const answer = await (async () => answers[name](value))().then(
    value => ({ value }),
    error => ({ error: String(error?.message ?? error) }),
  );
  Atomics.store(busy, 0, 0);
  process.send(answer);
});
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));`;

interface Question {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class TokenizerChild {
  alive = true;
  private readonly child: ChildProcess;
  private question: Question | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private end_ = 'breaks the tokenizers library';

  constructor() {
    const { bytes } = TOKENIZER_LIMITS;
    this.child = spawn(process.execPath, ['-e', PROGRAM(bytes), require.resolve('tokenizers')], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc', 'pipe'],
      serialization: 'advanced',
      // In VS Code the executable is Electron's.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '', RUST_BACKTRACE: '0' },
    });
    const words = this.child.stdio[LAST_WORDS] as Socket;
    words.on('data', () => (this.end_ = `takes more than ${bytes / 2 ** 20} MiB in the tokenizers library`));
    words.on('error', () => undefined);
    words.unref();
    this.child.on('message', (answer: { value: unknown } | { error: string }) => {
      if ('error' in answer) this.question?.reject(new Error(answer.error));
      else this.question?.resolve(answer.value);
    });
    this.child.on('error', error => this.over(`cannot be tried (${error.message})`));
    this.child.on('close', () => this.over(this.end_));
    this.hold(false);
  }

  /** @throws TokenizerDiedError when that ends the process. */
  ask(name: 'load' | 'encode' | 'entries', value: unknown): Promise<unknown> {
    const answer = this.last.then(() => this.askNow(name, value));
    this.last = answer.catch(() => undefined);
    return answer;
  }

  end(): void {
    this.child.kill('SIGKILL');
  }

  private async askNow(name: string, value: unknown): Promise<unknown> {
    if (!this.alive) throw new TokenizerDiedError(this.end_);
    const timer = setTimeout(() => {
      this.end_ = 'hangs the tokenizers library';
      this.end();
    }, TOKENIZER_LIMITS.milliseconds);
    this.hold(true);
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.question = { resolve, reject };
        // Where it has ended meanwhile, `close` tells.
        this.child.send([name, value], () => undefined);
      });
    } finally {
      clearTimeout(timer);
      this.hold(false);
    }
  }

  private over(how: string): void {
    this.alive = false;
    this.end_ = how;
    this.question?.reject(new TokenizerDiedError(how));
  }

  /** Whether our own process waits for it: idle it keeps nobody. */
  private hold(isHeld: boolean): void {
    if (isHeld) {
      this.child.ref();
      this.child.channel?.ref();
    } else {
      this.child.unref();
      this.child.channel?.unref();
    }
  }
}
