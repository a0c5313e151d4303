// @ts-check
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** The direction of imports is checked by .dependency-cruiser.mjs. */
export default defineConfig(
  {
    ignores: [
      'dist/',
      'out-test/',
      '.vscode-under-test/',
      'test-artifacts/',
      'engine/bundled/',
      'engine/attention/kernels/assembly/', // AssemblyScript
    ],
  },
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
    // File names, tensors and other programs' messages stand in these sentences.
    files: ['engine/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'NewExpression[callee.name=/^(Refused|Usage)Error$/] > TemplateLiteral',
          message: 'Write foreign values by told`...`.',
        },
        {
          selector: 'TemplateElement[value.raw=/^ ?%/]',
          message: 'Write shares by plainPercent() of shared/numbers.ts.',
        },
        {
          selector: 'ImportSpecifier[imported.name="percent"]',
          message: 'Lines of the engine are plain text: use plainPercent().',
        },
        {
          selector: 'MemberExpression[object.name="AbortSignal"][property.name="timeout"]',
          message: 'Node 20 may forget it: use abortedAfter() of engine/runtime/cancellation.ts.',
        },
      ],
    },
  },
  {
    // What VS Code shows here acts on links, pictures and icons that a foreign name may hold.
    files: ['extension/**/*.ts'],
    ignores: ['extension/workbench/tell.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Identifier[name=/^(show(Error|Warning|Information)Message|setStatusBarMessage)$/]',
          message: 'Tell it with tell() of extension/workbench/tell.ts.',
        },
        {
          selector: 'Identifier[name="withProgress"]',
          message: 'Use tellProgress() of extension/workbench/tell.ts.',
        },
        {
          selector:
            'NewExpression[callee.property.name="MarkdownString"], NewExpression[callee.name="MarkdownString"]',
          message: 'Make it with tooltip() of extension/workbench/tell.ts.',
        },
      ],
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
);
