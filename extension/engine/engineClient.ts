import { fork, type ChildProcess } from 'node:child_process';
import {
  createMessageConnection,
  Emitter,
  IPCMessageReader,
  IPCMessageWriter,
  ResponseError,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import {
  ErrorCode,
  type EngineMethod,
  type EngineNotifications,
  type EngineParams,
  type EngineResult,
  type InitializeParams,
  type InitializeResult,
} from '../../shared/protocol/engine';
import { inLanguage } from '../../shared/sentences';
import { english, type Translate } from '../../shared/translate';
import { Owner, type Disposable } from '../disposable';
import { ownBuffers } from './ownBuffers';

/** What a request fails with. `code` as in ErrorCode, null when the engine itself failed. */
export class EngineError extends Error {
  override readonly name: string = 'EngineError';
  constructor(
    message: string,
    readonly code: number | null,
  ) {
    super(message);
  }
  get cancelled(): boolean {
    return this.code === ErrorCode.cancelled;
  }
  /** Another device helps, and another model does not. */
  get isOfDevice(): boolean {
    return this.code === ErrorCode.deviceRefused;
  }
  /** Less text or a smaller model helps, and another try does not. */
  get isOfMemory(): boolean {
    return this.code === ErrorCode.outOfMemory;
  }
}

/** The process ended while it was needed. */
export class EngineDiedError extends EngineError {
  override readonly name = 'EngineDiedError';
  constructor(message: string) {
    super(message, null);
  }
}

/** Structurally the CancellationToken of vscode and of vscode-jsonrpc. */
export interface Token {
  readonly isCancellationRequested: boolean;
  onCancellationRequested(listener: () => void): Disposable;
}

export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export type EngineState = 'stopped' | 'starting' | 'running' | 'failed';

export interface Death {
  /** One sentence for the user: what happened. */
  message: string;
  /** It fell in native code: ONNX Runtime or a driver, not the engine's own decision or somebody else's. */
  native: boolean;
  /** False when it died too often and waits for Restart Engine. */
  restarting: boolean;
}

export interface EngineClientOptions {
  /** The engine's JavaScript file. */
  module: string;
  initialize(): InitializeParams;
  log: Log;
  /** The user's language, in which refusals are told. */
  t?: Translate;
  /** Added to our own environment at each start. */
  environment?(): NodeJS.ProcessEnv;
  /** Deaths within `window` milliseconds after which it is not started again by itself. Default 3 in 5 minutes. */
  maximumDeaths?: number;
  window?: number;
  /** Milliseconds without an answer after which it counts as silent. Default 30 s. */
  patience?: number;
}

const STOPPED_TOO_OFTEN = 'The engine stopped too often. Run "Attention: Restart Engine" to try again.';

/** One life of the engine process. */
interface Life {
  child: ChildProcess;
  connection: MessageConnection;
  ready: Promise<InitializeResult>;
  /** Rejects with EngineDiedError when the process ends; never resolves. */
  died: Promise<never>;
  /** Requests without an answer, and whether it is asked meanwhile if it hears. */
  open: number;
  beats: boolean;
  /** It has said what it can do. */
  started: boolean;
  /** We asked it to end: not a death to report. */
  wanted: boolean;
}

/**
 * Owns the engine process: starts it at the first request, talks JSON-RPC over Node's IPC, notices its death,
 * starts it again a bounded number of times. Knows nothing of VS Code.
 */
export class EngineClient extends Owner {
  private readonly stateEmitter = this.register(new Emitter<EngineState>());
  readonly onState = this.stateEmitter.event;
  private readonly deathEmitter = this.register(new Emitter<Death>());
  /** The process ended unasked. Fired after all its requests were rejected, before it is started again. */
  readonly onDeath = this.deathEmitter.event;

  private readonly silenceEmitter = this.register(new Emitter<void>());
  /** It has not answered for a while: deep in a native call, or stopped. Fired once for each silence. */
  readonly onSilence = this.silenceEmitter.event;

  private readonly listeners = new Map<string, Emitter<unknown>>();
  private life: Life | null = null;
  private deaths: number[] = [];
  /** Why it is not started again by itself. */
  private failure = STOPPED_TOO_OFTEN;
  private current: EngineState = 'stopped';
  /** What `initialize` said, of the latest life. */
  capabilities: InitializeResult | null = null;

  constructor(private readonly options: EngineClientOptions) {
    super();
  }

  get state(): EngineState {
    return this.current;
  }

  get processId(): number | undefined {
    return this.life?.child.pid;
  }

  on<N extends keyof EngineNotifications>(name: N, listener: (params: EngineNotifications[N]) => void) {
    let emitter = this.listeners.get(name);
    if (!emitter) this.listeners.set(name, (emitter = this.register(new Emitter<unknown>())));
    return emitter.event(listener as (params: unknown) => void);
  }

  /** Starts the engine if it is not running; resolves when it has said what it can do. */
  async start(): Promise<InitializeResult> {
    if (this.isDisposed) throw new EngineError('The extension is shutting down.', null);
    if (this.current === 'failed') {
      throw new EngineError(this.failure, null);
    }
    this.life ??= this.launch();
    return this.life.ready;
  }

  /**
   * Sends one request. Cancelling rejects at once, whatever the engine is doing; the engine is told and its late
   * reply is ignored.
   */
  async request<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    token?: Token,
  ): Promise<EngineResult<M>> {
    const cancellation = cancelled(token);
    try {
      await Promise.race([this.start(), cancellation.promise]);
      const life = this.life;
      if (!life) throw new EngineDiedError('The engine stopped.');
      // An argument that is undefined would count as a second parameter.
      const rest = token ? [token] : [];
      this.listen(life);
      const reply = life.connection.sendRequest<EngineResult<M>>(method, params, ...rest);
      reply.catch(() => undefined).finally(() => life.open--); // the race below may be over before it fails
      return ownBuffers(await Promise.race([reply, life.died, cancellation.promise]));
    } catch (error) {
      const failure = asEngineError(error);
      if (!failure.cancelled) this.options.log.warn(`${method}: ${failure.message}`);
      failure.message = inLanguage(failure.message, this.options.t ?? english);
      throw failure;
    } finally {
      cancellation.dispose();
    }
  }

  /** Ends the process, if any, and starts a new one; forgets earlier deaths. */
  async restart(): Promise<InitializeResult> {
    this.deaths = [];
    this.stop();
    return this.start();
  }

  /** Ends the process. The next request starts a new one. */
  stop(): void {
    const life = this.life;
    this.life = null;
    this.setState('stopped');
    if (life) this.end(life);
  }

  override dispose(): void {
    this.stop();
    super.dispose();
  }

  /** While requests are open, asks now and then whether the process hears; any answer will do. */
  private listen(life: Life): void {
    life.open++;
    if (life.beats) return;
    life.beats = true;
    const patience = this.options.patience ?? 30_000;
    let asked = 0;
    let isTold = false;
    const beat = setInterval(() => {
      if (life.open === 0 || this.life !== life) {
        life.beats = false;
        return clearInterval(beat);
      }
      if (asked === 0) {
        asked = Date.now();
        const answered = () => {
          asked = 0;
          isTold = false;
        };
        life.connection.sendRequest('ping').then(answered, answered);
      } else if (!isTold && Date.now() - asked > patience) {
        isTold = true;
        this.options.log.warn(`The engine has not answered for ${Math.round(patience / 1000)} s.`);
        this.silenceEmitter.fire();
      }
    }, patience / 6);
    beat.unref();
  }

  private end(life: Life): void {
    life.wanted = true;
    // It may be deep in a native call and deaf to messages; it holds nothing that needs saving.
    life.child.kill('SIGKILL');
  }

  private launch(): Life {
    const { log } = this.options;
    this.setState('starting');
    const child = fork(this.options.module, [], {
      // Without this the extension host's own inspector flags would be inherited.
      execArgv: inspectorOf(process.env),
      serialization: 'advanced', // typed arrays travel as they are
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'], // the last: what it says when it must end at once
      // In Electron the program is not Node unless told so; options of the editor's own Node are not the engine's.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '', ...this.options.environment?.() },
    });
    log.info(`Engine process ${child.pid ?? '(none)'} started.`);
    // Even an engine that breaks our rule that everything goes over IPC must not be lost from the log.
    child.stdout?.setEncoding('utf8').on('data', (text: string) => log.info(text.trimEnd()));
    const errors = new LastLines(12);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors.add(text);
      log.warn(text.trimEnd());
    });

    const connection = createMessageConnection(new IPCMessageReader(child), new IPCMessageWriter(child));
    connection.onNotification((name, params) => {
      const owned = ownBuffers(params);
      if (name === 'log') {
        const { level, message } = owned as unknown as EngineNotifications['log'];
        log[level](message);
      }
      this.listeners.get(name)?.fire(owned);
    });
    connection.onError(([error]) => log.error(`Engine connection: ${error.message}`));
    connection.listen();

    let lastWords = '';
    child.stdio[4]?.on('data', (text: Buffer) => (lastWords += text.toString('utf8')));
    child.stdio[4]?.on('error', () => undefined);

    const died = new Promise<never>((_, reject) => {
      let isOver = false;
      const over = (how: string, fell = false) => {
        if (isOver) return;
        isOver = true;
        // An engine that cannot start says why, and would say it again.
        const hopeless = !life.started && lastWords !== '';
        const message = hopeless ? lastWords : `The engine stopped (${lastWords || how}).`;
        // V8 says so itself when its memory is used up.
        const native = fell && !lastWords && !errors.text.includes('FATAL ERROR');
        reject(new EngineDiedError(message));
        connection.dispose(); // rejects what is pending as well, with less to say
        if (life.wanted) log.info('Engine process ended.');
        else
          this.reportDeath(
            life,
            errors.text ? `${message} ${errors.text}` : message,
            { message, native },
            hopeless,
          );
      };
      child.once('exit', (code, signal) => {
        const how = signal ? `signal ${signal}` : `exit code ${code}`;
        const fell = isNative(code, signal);
        // What it said last may still be on its way.
        child.once('close', () => over(how, fell));
        setTimeout(() => over(how, fell), 500);
      });
      child.once('error', error => {
        if (child.pid === undefined) over(error.message);
        else log.error(`Engine process: ${error.message}`);
      });
    });
    died.catch(() => undefined);

    const initialized = connection.sendRequest<InitializeResult>('initialize', this.options.initialize());
    initialized.catch(() => undefined);
    const ready = Promise.race([initialized, died]).then(capabilities => {
      this.capabilities = capabilities;
      life.started = true;
      if (this.life === life) this.setState('running');
      log.info(`Engine ${capabilities.version} is ready.`);
      return capabilities;
    });
    ready.catch(() => undefined);
    const life: Life = {
      child,
      connection,
      ready,
      died,
      open: 0,
      beats: false,
      started: false,
      wanted: false,
    };
    return life;
  }

  private reportDeath(life: Life, detail: string, death: Omit<Death, 'restarting'>, hopeless: boolean): void {
    this.options.log.error(detail);
    if (this.life !== life) return;
    this.life = null;
    const now = Date.now();
    const { maximumDeaths = 3, window = 300_000 } = this.options;
    this.deaths = [...this.deaths.filter(then => now - then < window), now];
    const restarting = !hopeless && this.deaths.length < maximumDeaths;
    this.failure = hopeless ? death.message : STOPPED_TOO_OFTEN;
    this.setState(restarting ? 'stopped' : 'failed');
    // After the pending requests have seen their rejection.
    setImmediate(() => {
      if (this.isDisposed) return;
      this.deathEmitter.fire({ ...death, restarting });
      if (restarting && !this.life) this.start().catch(() => undefined);
    });
  }

  private setState(state: EngineState): void {
    if (this.current === state) return;
    this.current = state;
    if (!this.isDisposed) this.stateEmitter.fire(state);
  }
}

const NATIVE_SIGNALS: readonly (string | null)[] = [
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
];

/** Windows has exit codes where others have signals: 0xC0000005 and the like. */
const isNative = (code: number | null, signal: string | null) =>
  NATIVE_SIGNALS.includes(signal) || (code !== null && code >>> 0 >= 0xc0000000);

/** A developer's launch configuration names the port on which the engine shall be debugged. */
const inspectorOf = ({ ATTENTION_INSPECTOR_INSPECT: port }: NodeJS.ProcessEnv) =>
  /^\d+$/.test(port ?? '') ? [`--inspect=${port}`] : [];

/** A promise that rejects when the token is cancelled. */
function cancelled(token: Token | undefined): { promise: Promise<never>; dispose(): void } {
  let listener: Disposable | undefined;
  const promise = new Promise<never>((_, reject) => {
    const stop = () => reject(new EngineError('Cancelled.', ErrorCode.cancelled));
    if (token?.isCancellationRequested) stop();
    else listener = token?.onCancellationRequested(stop);
  });
  promise.catch(() => undefined);
  return { promise, dispose: () => listener?.dispose() };
}

/** Whatever a request failed with. */
export function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  if (error instanceof ResponseError) return new EngineError(error.message, error.code);
  return new EngineError(error instanceof Error ? error.message : String(error), null);
}

/** The last few lines of a stream: the reason of a crash, for the log. */
class LastLines {
  private lines: string[] = [];
  constructor(private readonly count: number) {}
  add(text: string): void {
    this.lines = [...this.lines, ...text.trim().split('\n')].slice(-this.count);
  }
  get text(): string {
    return this.lines.join('\n');
  }
}
