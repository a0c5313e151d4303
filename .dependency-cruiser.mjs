/**
 * The direction of imports, checked by `npm run lint`: it is part of the architecture (docs/architecture.md).
 *
 *     webview -> shared <- extension          engine -> shared
 *     inside the engine: corpus -> service -> export, measure -> attention -> runtime; model -> runtime
 *     inside engine/model: load -> source -> tokens -> verify -> cut -> rewrite -> onnx
 *
 * Types count as well as values: a file that needs another's types cannot be read without it.
 */

/** Folders from the lowest to the highest: a folder may import itself and those before it, none after it. */
const ENGINE_LAYERS = [
  '^engine/(errors|statistics|bundledFolder|readText)\\.ts$',
  '^engine/runtime/',
  '^engine/attention/',
  '^engine/model/',
  '^engine/measure/',
  '^engine/export/',
  '^engine/service/',
  '^engine/lens/',
  '^engine/corpus/',
  '^engine/(engine|attend|attendInput)\\.ts$',
  '^engine/(cli/|(main|cli)\\.ts$)',
];
const MODEL_LAYERS = ['onnx', 'rewrite', 'cut', 'verify', 'tokens', 'source', '[^/]+\\.ts$'].map(
  folder => `^engine/model/${folder}${folder.endsWith('$') ? '' : '/'}`,
);
const ATTENTION_LAYERS = [
  'maths/',
  '(core|mask|ownTensors|mechanism|cost|parameters)\\.ts$',
  'kernels/',
  'mechanisms/',
  '(registry|native)\\.ts$',
].map(each => `^engine/attention/${each}`);

const downwards = (name, layers) =>
  layers.slice(0, -1).map((layer, i) => ({
    name: `${name}-${i}`,
    comment: `${layer} must not import what stands above it`,
    severity: 'error',
    from: { path: layer },
    to: { path: layers.slice(i + 1) },
  }));

const never = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

export default {
  forbidden: [
    never('no-circles', 'no file needs itself to be understood', {}, { circular: true }),
    never(
      'only-extension-knows-vscode',
      '',
      { pathNot: '^(extension|test)/' },
      { path: '^vscode$|@types/vscode' },
    ),
    never(
      'shared-stands-alone',
      '',
      { path: '^shared/' },
      { path: '^(engine|extension|webview|test|scripts)/' },
    ),
    never('engine-stands-alone', '', { path: '^engine/' }, { path: '^(extension|webview|test|scripts)/' }),
    never('extension-knows-shared', '', { path: '^extension/' }, { path: '^(engine|webview|test|scripts)/' }),
    never('webview-knows-shared', '', { path: '^webview/' }, { path: '^(engine|extension|test|scripts)/' }),
    ...downwards('engine', ENGINE_LAYERS),
    ...downwards('model', MODEL_LAYERS),
    ...downwards('attention', ATTENTION_LAYERS),
    // What a measure folds over comes from a model: only the form of its output is known there.
    never(
      'attention-knows-no-model',
      'mechanisms work on tensors, wherever they come from',
      { path: '^engine/(attention|runtime)/' },
      { path: '^engine/(model|measure|export|service|lens)/' },
    ),
    never(
      'measures-know-the-output-only',
      '',
      { path: '^engine/measure/' },
      { path: '^engine/model/', pathNot: '^engine/model/cut/cutModel\\.ts$' },
    ),
    never('model-knows-no-measure', '', { path: '^engine/model/' }, { path: '^engine/(measure|export)/' }),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
};
