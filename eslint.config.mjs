import tseslint from 'typescript-eslint';
import { house } from './lint/own-rules.mjs';

const PLAIN = ['**/*.mjs', '**/*.cjs', '**/*.js'];

/** What the design asks for and a compiler cannot see; docs/ARCHITECTURE.md says why. */
export default tseslint.config(
  { ignores: ['node_modules/**', 'dist/**', '.cache/**', '.data/**', 'coverage/**', 'docs/**', 'data/**'] },
  {
    files: ['**/*.ts'],
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { '@typescript-eslint': tseslint.plugin, house },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'house/module-borders': 'error',
      'house/mongoose-places': 'error',
      'house/transaction-body': 'error',
      'house/one-clock': 'error',
      'house/one-environment': 'error',
      'house/no-default-export': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'no-console': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      curly: ['error', 'multi-line'],
    },
  },
  { files: ['src/config.ts'], rules: { 'house/one-environment': 'off' } },
  { files: ['src/platform/clock.ts'], rules: { 'house/one-clock': 'off' } },
  {
    // Tests keep their own time and read what the machine was given; bench and command line print.
    files: ['test/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts'],
    rules: { 'house/one-clock': 'off', 'house/one-environment': 'off', 'no-console': 'off' },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/switch-exhaustiveness-check': 'off' } },
  { files: ['test/types/**/*.ts'], rules: { 'house/transaction-body': 'off' } },
  {
    files: PLAIN,
    plugins: { house },
    rules: { eqeqeq: ['error', 'always', { null: 'ignore' }], curly: ['error', 'multi-line'], 'no-var': 'error', 'prefer-const': 'error', 'house/mongoose-places': 'error' },
  },
);
