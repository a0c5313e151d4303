import {
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  ResponseError,
  RequestType,
  NotificationType,
} from 'vscode-jsonrpc/node';
import { Engine, UnknownAnalysisError } from './engine';
import {
  CancelledError,
  DeviceRefusedError,
  OutOfMemoryError,
  RefusedError,
  told,
  UsageError,
} from './errors';
import { trialIn } from './service/modelTrial';
import { visibleLines } from '../shared/foreign';
import { watch } from './runtime/watch';
import { ErrorCode, type EngineNotifications, type EngineParams } from '../shared/protocol/engine';

/**
 * The engine as a child process of the extension: JSON-RPC over Node's IPC channel (fork with
 * `serialization: 'advanced'`). Ends when the channel closes.
 */
const connection = createMessageConnection(new IPCMessageReader(process), new IPCMessageWriter(process));

const engine = new Engine((name, params) => {
  void connection.sendNotification(new NotificationType<EngineNotifications[typeof name]>(name), params);
}, trialIn(__filename));

// Whether it hears at all.
connection.onRequest('ping', () => null);

for (const method of engine.methods) {
  connection.onRequest(
    new RequestType<EngineParams<typeof method>, unknown, void>(method),
    async (params, token) => {
      const cancelled = new AbortController();
      const listener = token.onCancellationRequested(() => cancelled.abort());
      try {
        return await watch.during(() => engine.request(method, params, cancelled.signal));
      } catch (error) {
        throw toResponseError(error);
      } finally {
        listener.dispose();
      }
    },
  );
}

function toResponseError(error: unknown): ResponseError<void> {
  const message = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause;
  if (cause instanceof Error) log(`${message} ${cause.stack ?? cause.message}`);
  if (error instanceof CancelledError) return new ResponseError(ErrorCode.cancelled, message);
  if (error instanceof DeviceRefusedError) return new ResponseError(ErrorCode.deviceRefused, message);
  if (error instanceof OutOfMemoryError) return new ResponseError(ErrorCode.outOfMemory, message);
  if (error instanceof RefusedError || error instanceof UsageError)
    return new ResponseError(ErrorCode.refused, message);
  if (error instanceof UnknownAnalysisError) return new ResponseError(ErrorCode.unknownAnalysis, message);
  log((error instanceof Error && error.stack) || message);
  return new ResponseError(-32603, told`The engine failed: ${message}`);
}

/** What the user need not read, for the output channel. */
function log(message: string): void {
  void connection.sendNotification(new NotificationType<EngineNotifications['log']>('log'), {
    level: 'error',
    message: visibleLines(message),
  });
}

watch.start();
// Not `exit`, which waits for a read that is under way: of a pipe or a lost disk, for ever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
connection.listen();
