/** How the programs for Node are bundled: the extension, the engine, the command line. */
export const native = ['onnxruntime-node', 'onnxruntime-common', 'tokenizers'];

/** GitHub's workflows name the repository; its releases have what packages have no room for (engine/model/source/zoo.ts). */
const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env;
const repository = GITHUB_REPOSITORY ? `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}` : '';

/**
 * Native packages stay outside of the bundles; they are found in node_modules, in the vsix as well.
 * @type {import('esbuild').BuildOptions}
 */
export const nodeProgram = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: native,
  legalComments: 'none',
  logLevel: 'warning',
  define: { BUILT_IN_REPOSITORY: JSON.stringify(repository) },
  // What is loaded late from a file of its own is loaded as all else is.
  supported: { 'dynamic-import': false },
};

/**
 * The command line in two files: the process that only watches (cli) need not read what its child runs (program), which is a
 * hundred times as long. `name` makes the files' names.
 * @returns {import('esbuild').BuildOptions[]}
 */
export const commandLine = (name = program => program) => [
  {
    ...nodeProgram,
    entryPoints: { [name('cli')]: 'engine/cli.ts' },
    banner: { js: '#!/usr/bin/env node' },
    plugins: [
      {
        name: 'program',
        setup: build =>
          void build.onResolve({ filter: /^\.\/cli\/child$/ }, () => ({
            path: `./${name('program')}.js`,
            external: true,
          })),
      },
    ],
  },
  { ...nodeProgram, entryPoints: { [name('program')]: 'engine/cli/child.ts' } },
];
