import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RefusedError, told } from '../../errors';
import { refuseUnlessHeld } from '../../runtime/memory';
import type { Runtime, Session } from '../../runtime/runtime';
import { readSkeleton, weightFiles } from './skeleton';

/** The .onnx files of a model. */
export interface Graphs {
  onnx: string;
  encoder?: string;
  embedding?: string;
  /** All files that ONNX Runtime reads, where they are known: finding them reads the graphs. */
  paths?: readonly string[];
}

/** All files that ONNX Runtime reads. */
export function graphFiles({ onnx, encoder, embedding, paths }: Graphs): readonly string[] {
  if (paths) return paths;
  const graphs = [onnx, encoder, embedding].filter(path => path !== undefined);
  return graphs.flatMap(path => {
    // Refuses what is unsound or of any size, so that no weight file is a pipe, lies elsewhere or never ends.
    refuseUnlessHeld(readSkeleton(path).fileBytes, basename(path));
    return [path, ...weightFiles(path).map(name => join(dirname(path), name))];
  });
}

/** How files look from outside, which takes no time: one that is written anew looks otherwise. */
export function lookOf(paths: readonly string[]): string {
  const looks = paths.map(path => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found ? [path, found.size, found.mtimeMs, found.ctimeMs, found.ino] : [path];
  });
  return JSON.stringify(looks);
}

/** A runtime for the pieces of one model, which says whether its files are still those that it was made for. */
export interface BoundRuntime extends Runtime {
  /** Throws RefusedError when the files are others than those that were proved. */
  refuseOtherFiles(): void;
}

/**
 * Pieces take their weights from the model's files when they are made and while they run (the files are mapped), so nothing
 * may come of a run after which the files are others than those that were proved.
 */
export function boundTo(model: Graphs & { name: string }, runtime: Runtime): BoundRuntime {
  const paths = graphFiles(model);
  const look = lookOf(paths);
  const refuseOtherFiles = () => {
    if (lookOf(paths) !== look)
      throw new RefusedError(
        told`The files of the model ${model.name} have changed since it was loaded: analyze the text again.`,
      );
  };
  const bound = (session: Session): Session => ({
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: async (...given) => {
      const results = await session.run(...given);
      refuseOtherFiles();
      return results;
    },
    release: () => session.release(),
  });
  return {
    report: runtime.report,
    load: async (bytes, options) => {
      const session = await runtime.load(bytes, options);
      refuseOtherFiles();
      return bound(session);
    },
    graph: (key, build) => runtime.graph(key, build),
    hold: tensors => runtime.hold(tensors),
    dispose: () => runtime.dispose(),
    refuseOtherFiles,
  };
}
