/**
 * The native files of each platform, as patterns in onnxruntime-node's folder of binaries, and as a name among those of
 * tokenizers. ONNX Runtime has none for Intel Macs.
 */
export const NATIVE_FILES = {
  'linux-x64': ['linux/x64/*', 'linux-x64-gnu'],
  'linux-arm64': ['linux/arm64/*', 'linux-arm64-gnu'],
  'darwin-arm64': ['darwin/arm64/{libonnxruntime.1.dylib,onnxruntime_binding.node}', 'darwin-arm64'],
  // Without DirectML.dll (18 MB): it is loaded late and only for the device `dml`, and WebGPU serves the same GPUs.
  'win32-x64': ['win32/x64/{onnxruntime*,dx*}', 'win32-x64-msvc'],
  'win32-arm64': ['win32/arm64/{onnxruntime*,dx*}', 'win32-arm64-msvc'],
};

/** Below a package's folder. */
export const BINARIES = 'bin/napi-v6';
