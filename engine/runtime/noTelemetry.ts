/**
 * ONNX Runtime's builds for Linux and macOS collect telemetry unless this is in the environment before the library is
 * loaded: a device id and a queue of events under the home folder, and uploads. Imported before anything that loads it;
 * child processes inherit it. (What Windows' event tracing records cannot be switched off here: README.)
 */
process.env.ORT_DISABLE_TELEMETRY = '1';
