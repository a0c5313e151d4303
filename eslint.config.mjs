// @ts-check
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * The direction of imports is part of the architecture (docs/architecture.md):
 *
 *     webview -> engine/protocol <- extension
 *     inside the engine: measure -> attention -> runtime, model -> runtime; the service behind main.ts and cli.ts knows all
 *
 * Each entry: the files, and what they must not import, as [regular expression, reason].
 */
const SERVICE = [
  '(^|/)(engine|main|cli)$|(^|/)(service|lens|cli)/',
  'only the service behind main.ts and cli.ts knows the whole engine',
];
const VSCODE = ['^vscode$', 'only extension/ knows VS Code'];
const ONLY_PROTOCOL = [
  '(^|/)engine/(?!protocol(\\.js|\\.ts)?$)',
  'extension and webview know of the engine only engine/protocol.ts',
];
/** A report without an engine refits spans by itself, with the engine's own formulas. */
const PROTOCOL_AND_SPANS = [
  '(^|/)engine/(?!(protocol|attention/softSpan)(\\.js|\\.ts)?$)',
  'the webview knows of the engine only engine/protocol.ts, and the pure functions of softSpan.ts',
];
const OUTSIDE = ['^(\\.\\./)+(extension|webview|test|scripts)/', 'the engine stands alone'];

/** @param {string[]} names */
const folders = (...names) => [
  `(^|/)(${names.join('|')})/[^/]`,
  `imports run measure -> attention -> runtime and model -> runtime; this folder must not know ${names.join(', ')}`,
];

/** @type {{ files: string, not: string[][] }[]} */
const directions = [
  { files: 'engine/*.ts', not: [VSCODE, OUTSIDE] },
  {
    files: 'engine/protocol/**/*.ts',
    not: [
      VSCODE,
      [
        '^\\.\\./(?!export/reportData$)',
        'extension and webview read the protocol: it knows only itself, and the form of a report',
      ],
    ],
  },
  {
    files: 'engine/service/**/*.ts',
    not: [
      VSCODE,
      OUTSIDE,
      [
        '(^|/)(engine|main|cli)$|(^|/)(lens|cli)/',
        'engine.ts, the lenses and the command line stand above the service',
      ],
    ],
  },
  {
    files: 'engine/lens/**/*.ts',
    not: [VSCODE, OUTSIDE, ['(^|/)(engine|main|cli)$|(^|/)cli/', 'only engine.ts knows the lenses']],
  },
  { files: 'engine/cli/**/*.ts', not: [VSCODE, OUTSIDE] },
  {
    files: 'engine/runtime/**/*.ts',
    not: [VSCODE, OUTSIDE, SERVICE, folders('model', 'attention', 'measure', 'export')],
  },
  { files: 'engine/model/**/*.ts', not: [VSCODE, OUTSIDE, SERVICE, folders('measure', 'export')] },
  {
    files: 'engine/attention/**/*.ts',
    not: [VSCODE, OUTSIDE, SERVICE, folders('model', 'measure', 'export')],
  },
  {
    // The loss reads what comes out of a model: the contract of that, and nothing else of model/.
    files: 'engine/measure/**/*.ts',
    not: [VSCODE, OUTSIDE, SERVICE, folders('model(?!/cutModel$)', 'export')],
  },
  { files: 'engine/export/**/*.ts', not: [VSCODE, OUTSIDE, SERVICE] },
  {
    files: 'extension/**/*.ts',
    not: [
      ONLY_PROTOCOL,
      [
        '^(\\.\\./)+webview/(?!hostProtocol$)',
        'the extension knows of the webview only webview/hostProtocol.ts',
      ],
    ],
  },
  {
    files: 'webview/**/*.ts',
    not: [VSCODE, PROTOCOL_AND_SPANS, ['^(\\.\\./)+extension/', 'the webview knows only engine/protocol.ts']],
  },
];

export default defineConfig(
  { ignores: ['dist/', 'out-test/', '.vscode-under-test/', 'test-artifacts/', 'engine/bundled/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Type-aware rules are slow as a set; these are the ones that find real bugs here.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: ['error', 'smart'],
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'setTimeout',
          'clearTimeout',
          'fetch',
          'URL',
          'Buffer',
          'module',
          'require',
          '__dirname',
        ].map(name => [name, 'readonly']),
      ),
    },
  },
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  ...directions.map(({ files, not }) => ({
    files: [files],
    rules: {
      'no-restricted-imports': ['error', { patterns: not.map(([regex, message]) => ({ regex, message })) }],
    },
  })),
);
