// A process that speaks the engine's protocol and misbehaves on request; for the tests of the extension's client.
const rpc = require('vscode-jsonrpc/node');
const connection = rpc.createMessageConnection(
  new rpc.IPCMessageReader(process),
  new rpc.IPCMessageWriter(process),
);
let crashed = [];
connection.onRequest('initialize', params => {
  crashed = params.crashed ?? [];
  if (process.env.FAKE_ENGINE === 'dies at start') {
    process.stderr.write('no such library\n');
    process.exit(7);
  }
  if (process.env.FAKE_ENGINE === 'tells its environment')
    return {
      version: JSON.stringify([process.env.ELECTRON_RUN_AS_NODE, process.env.NODE_OPTIONS]),
      mechanisms: [],
    };
  return { version: `fake ${params.device}`, mechanisms: [] };
});
connection.onRequest('models/list', ({ folders }) => {
  if (folders[0] === 'die') process.kill(process.pid, 'SIGKILL');
  if (folders[0] === 'run') {
    const device = crashed.some(one => one.device === 'webgpu') ? 'cpu' : 'webgpu';
    connection.sendNotification('device/used', { device, adapter: device === 'cpu' ? null : 'A GPU' });
    // What a faulty driver does.
    if (device === 'webgpu') setTimeout(() => process.abort(), 50);
    if (device === 'webgpu') return new Promise(() => {});
  }
  if (folders[0] === 'log') connection.sendNotification('log', { level: 'warn', message: 'from the engine' });
  if (folders[0].startsWith('refuse: ')) throw new rpc.ResponseError(1, folders[0].slice(8));
  if (folders[0] === 'refuse') throw new rpc.ResponseError(1, 'The file is not a model.');
  if (folders[0] === 'block') {
    // Deaf, as in a long native call: it can neither read the cancellation nor answer.
    const end = Date.now() + 3000;
    while (Date.now() < end);
  }
  if (folders[0] === 'never') return new Promise(() => {});
  return folders.map(ref => ({ ref, label: ref, detail: '', source: 'workspace' }));
});
connection.onRequest('analysis/row', () => new Float32Array([0.25, 0.5, 0.25]));
connection.listen();
