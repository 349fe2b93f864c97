import { strict as assert } from 'node:assert';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

interface Case {
  rule: string;
  what: string;
  file: string;
  bad: string;
  good: string;
}

const ORDERS = 'src/modules/orders/order.service.ts';
const TRANSACTION = "import { withTransaction } from '../../platform/db/transaction.ts';\nimport type { OutsideTx } from '../../platform/context.ts';\nimport { inCompany } from '../../platform/context.ts';\n";
const inBody = (call: string): string => `${TRANSACTION}export const run = (ctx: OutsideTx, own: OutsideTx): Promise<unknown> => ${call};\nvoid inCompany;\n`;

const CASES: Case[] = [
  {
    rule: 'house/module-borders',
    what: 'a module enters another through its index.ts',
    file: ORDERS,
    bad: "import { stock } from '../inventory/stock.model.ts';\nvoid stock;\n",
    good: "import { readStock } from '../inventory/index.ts';\nimport { orders } from './order.model.ts';\nvoid [readStock, orders];\n",
  },
  {
    rule: 'house/module-borders',
    what: 'for types too',
    file: ORDERS,
    bad: "import type { Stock } from '../inventory/stock.model.ts';\nexport type A = Stock;\n",
    good: "import type { Stock } from '../inventory/index.ts';\nexport type A = Stock;\n",
  },
  {
    rule: 'house/module-borders',
    what: 'by re-export too',
    file: ORDERS,
    bad: "export * from '../inventory/stock.model.ts';\n",
    good: "export { readStock } from '../inventory/index.ts';\n",
  },
  {
    rule: 'house/module-borders',
    what: 'by import() too',
    file: ORDERS,
    bad: "export const load = (): Promise<unknown> => import('../inventory/stock.model.ts');\n",
    good: "export const load = (): Promise<unknown> => import('../inventory/index.ts');\n",
  },
  {
    rule: 'house/module-borders',
    what: 'the platform imports no module, not even its index.ts',
    file: 'src/platform/lane.ts',
    bad: "import type { Order } from '../modules/orders/index.ts';\nexport type A = Order;\n",
    good: "import type { Ctx } from './context.ts';\nexport type A = Ctx;\n",
  },
  {
    rule: 'house/module-borders',
    what: 'nor the assembly',
    file: 'src/platform/db/tx.ts',
    bad: "import { modules } from '../../modules.ts';\nvoid modules;\n",
    good: "import { now } from '../clock.ts';\nvoid now;\n",
  },
  {
    rule: 'house/module-borders',
    what: 'a module does not import the assembly',
    file: ORDERS,
    bad: "import { modules } from '../../modules.ts';\nvoid modules;\n",
    good: "import { now } from '../../platform/clock.ts';\nvoid now;\n",
  },
  {
    rule: 'house/mongoose-places',
    what: 'modules do not import mongoose',
    file: ORDERS,
    bad: "import type mongoose from 'mongoose';\nexport type A = mongoose.Model<object>;\n",
    good: "import type { Row } from '../../platform/db/collection.ts';\nexport type A = Row<object>;\n",
  },
  {
    rule: 'house/mongoose-places',
    what: 'nor does the rest of the platform, in whatever spelling',
    file: 'src/platform/lane.ts',
    bad: "export const load = (): Promise<unknown> => import('mongoose/lib/index.js');\n",
    good: "export const load = (): Promise<unknown> => import('./clock.ts');\n",
  },
  {
    rule: 'house/transaction-body',
    what: "the body's parameter has the outer name",
    file: ORDERS,
    bad: inBody('withTransaction(ctx, async (tx) => Promise.resolve(tx.companyId))'),
    good: inBody('withTransaction(ctx, async (ctx) => Promise.resolve(ctx.companyId))'),
  },
  {
    rule: 'house/transaction-body',
    what: 'the body does not reach the context it was opened with',
    file: ORDERS,
    bad: inBody('withTransaction(own, async (ctx) => Promise.resolve([ctx, own]))'),
    good: inBody('withTransaction(own, async (ctx) => Promise.resolve([ctx]))'),
  },
  {
    rule: 'house/transaction-body',
    what: 'also when it was moved to another company',
    file: ORDERS,
    bad: inBody("withTransaction(inCompany(ctx, 'x'), async (tx) => Promise.resolve([tx, ctx]))"),
    good: inBody("withTransaction(inCompany(ctx, 'x'), async (ctx) => Promise.resolve([ctx]))"),
  },
  {
    rule: 'house/transaction-body',
    what: 'also without a parameter',
    file: ORDERS,
    bad: inBody('withTransaction(ctx, async () => Promise.resolve(ctx))'),
    good: inBody('withTransaction(ctx, async () => Promise.resolve(1))'),
  },
  {
    rule: 'house/transaction-body',
    what: 'the body stands in place',
    file: ORDERS,
    bad: `${inBody('withTransaction(ctx, body)')}const body = (): Promise<number> => Promise.resolve(1);\n`,
    good: inBody('withTransaction(ctx, async () => Promise.resolve(1))'),
  },
  {
    rule: 'house/transaction-body',
    what: 'no Promise.all inside',
    file: ORDERS,
    bad: inBody('withTransaction(ctx, async (ctx) => { const all = [1].map(() => Promise.resolve(ctx)); return Promise.all(all); })'),
    good: inBody('Promise.all([withTransaction(ctx, async (ctx) => Promise.resolve(ctx))])'),
  },
  { rule: 'house/one-clock', what: 'Date.now()', file: ORDERS, bad: 'export const at = Date.now();\n', good: 'export const at = new Date(0);\n' },
  { rule: 'house/one-clock', what: 'new Date()', file: 'src/platform/lane.ts', bad: 'export const at = new Date();\n', good: 'export const at = performance.now();\n' },
  { rule: 'house/one-environment', what: 'process.env', file: 'src/main.ts', bad: "export const port = process.env['PORT'];\n", good: 'export const { pid } = process;\n' },
  { rule: 'house/one-environment', what: 'const { env } = process', file: ORDERS, bad: 'export const { env } = process;\n', good: 'export const { pid } = process;\n' },
  {
    rule: 'house/no-default-export',
    what: 'no default exports',
    file: ORDERS,
    bad: 'const a = 1;\nexport default a;\n',
    good: 'export const a = 1;\n',
  },
  { rule: 'house/no-default-export', what: 'nor under another form', file: ORDERS, bad: 'const a = 1;\nexport { a as default };\n', good: 'const a = 1;\nexport { a as b };\n' },
  {
    rule: '@typescript-eslint/no-floating-promises',
    what: 'no promise that nobody waits for',
    file: ORDERS,
    bad: 'const work = async (): Promise<void> => Promise.resolve();\nwork();\n',
    good: 'const work = async (): Promise<void> => Promise.resolve();\nawait work();\n',
  },
  { rule: '@typescript-eslint/no-explicit-any', what: 'no any', file: ORDERS, bad: 'export const a = (b: any): unknown => b;\n', good: 'export const a = (b: unknown): unknown => b;\n' },
  {
    rule: '@typescript-eslint/no-non-null-assertion',
    what: 'no !',
    file: ORDERS,
    bad: 'export const a = (b?: string): string => b!;\n',
    good: "export const a = (b?: string): string => b ?? '';\n",
  },
  {
    rule: '@typescript-eslint/consistent-type-imports',
    what: 'types are imported as types',
    file: ORDERS,
    bad: "import { Ctx } from '../../platform/context.ts';\nexport type A = Ctx;\n",
    good: "import type { Ctx } from '../../platform/context.ts';\nexport type A = Ctx;\n",
  },
  { rule: 'no-console', what: 'no console', file: ORDERS, bad: "console.log('x');\n", good: "process.stdout.write('x');\n" },
  { rule: 'eqeqeq', what: 'no ==', file: ORDERS, bad: "export const a = (b: string): boolean => b == 'c';\n", good: "export const a = (b: string): boolean => b === 'c';\n" },
  {
    rule: 'curly',
    what: 'braces around what stands on its own line',
    file: ORDERS,
    bad: 'export function a(b: boolean): number {\n  if (b)\n    return 1;\n  return 2;\n}\n',
    good: 'export function a(b: boolean): number {\n  if (b) return 1;\n  return 2;\n}\n',
  },
];

const FREE: [string, string, string][] = [
  ['config.ts reads the environment', 'src/config.ts', "export const port = process.env['PORT'];\n"],
  ['clock.ts asks for the time', 'src/platform/clock.ts', 'export const at = Date.now();\n'],
  ['platform/db imports mongoose', 'src/platform/db/connect.ts', "import mongoose from 'mongoose';\nvoid mongoose;\n"],
  ['platform/embedded imports mongoose', 'src/platform/embedded/primary.ts', "import mongoose from 'mongoose';\nvoid mongoose;\n"],
  ['a test looks into a module', 'test/support/world.ts', "import { orders } from '../../src/modules/orders/order.model.ts';\nvoid [orders, Date.now()];\n"],
];

describe('lint', function () {
  this.timeout(120_000);
  const eslint = new ESLint({ cwd: root });
  const rulesBroken = async (file: string, text: string): Promise<string[]> => {
    const [result] = await eslint.lintText(text, { filePath: join(root, file) });
    assert(result);
    const fatal = result.messages.find((m) => m.fatal);
    assert.equal(fatal, undefined, fatal?.message);
    return [...new Set(result.messages.map((m) => m.ruleId ?? 'none'))];
  };

  for (const { rule, what, file, bad, good } of CASES) {
    it(`${rule}: ${what}`, async () => {
      assert.deepEqual(await rulesBroken(file, bad), [rule]);
      assert.deepEqual(await rulesBroken(file, good), []);
    });
  }

  for (const [what, file, text] of FREE) {
    it(`allows that ${what}`, async () => {
      assert.deepEqual(await rulesBroken(file, text), []);
    });
  }

  it('every rule of the configuration about the house has a case here', async () => {
    const config = (await eslint.calculateConfigForFile(join(root, ORDERS))) as { rules: Record<string, [number]> };
    const own = Object.entries(config.rules).filter(([name, [level]]) => name.startsWith('house/') && level === 2);
    const covered = new Set(CASES.map((c) => c.rule));
    assert.deepEqual(own.map(([name]) => name).filter((name) => !covered.has(name)), []);
  });
});

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** The first circle of imports, as its names in order, or nothing. */
function circleIn(graph: Graph): string[] {
  const done = new Set<string>();
  const walk = (name: string, path: string[]): string[] => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return [];
    for (const next of graph.get(name) ?? []) {
      const circle = walk(next, [...path, name]);
      if (circle.length > 0) return circle;
    }
    done.add(name);
    return [];
  };
  for (const name of graph.keys()) {
    const circle = walk(name, []);
    if (circle.length > 0) return circle;
  }
  return [];
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*'(\.[^']+)'|\bimport\('(\.[^']+)'\)/g;

/** Which module imports which, types included. */
async function moduleGraph(): Promise<Graph> {
  const base = join(root, 'src/modules');
  const graph = new Map<string, Set<string>>();
  for (const entry of await readdir(base, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const file = join(entry.parentPath, entry.name);
    const own = relative(base, file).split('/')[0] ?? '';
    const targets = graph.get(own) ?? new Set<string>();
    graph.set(own, targets);
    for (const [, from, dynamic] of (await readFile(file, 'utf8')).matchAll(IMPORT)) {
      const target = relative(base, resolve(dirname(file), from ?? dynamic ?? '')).split('/')[0] ?? '';
      if (target !== '..' && target !== own) targets.add(target);
    }
  }
  return graph;
}

describe('imports between modules', () => {
  it('a circle is found', () => {
    assert.deepEqual(circleIn(new Map([['a', new Set(['b'])], ['b', new Set(['c', 'd'])], ['c', new Set()], ['d', new Set(['b'])]])), ['b', 'd', 'b']);
    assert.deepEqual(circleIn(new Map([['a', new Set(['b', 'c'])], ['b', new Set(['c'])], ['c', new Set()]])), []);
  });

  it('go round in no circle', async () => {
    const graph = await moduleGraph();
    assert(graph.size > 3 && [...graph.values()].some((targets) => targets.size > 0));
    assert.deepEqual(circleIn(graph), []);
  });
});
