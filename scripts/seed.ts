import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../src/config.ts';
import { addProduct, type ProductInput } from '../src/modules/catalog/index.ts';
import { activeLocations, addLocation, type Place } from '../src/modules/companies/index.ts';
import { addConnection, connectionsOf, SANDBOX_COURIER } from '../src/modules/couriers/index.ts';
import { createOperator, findUserByEmail, passwordFits, registerCompany, type Registration } from '../src/modules/identity/index.ts';
import { ownKyc, saveBankAccount, savePan, type BankInput, type PanInput } from '../src/modules/kyc/index.ts';
import { receiveStock, stockRows } from '../src/modules/inventory/index.ts';
import { creditWallet } from '../src/modules/wallet/index.ts';
import { nowMs } from '../src/platform/clock.ts';
import { beforeSignIn, systemCtx, type OutsideTx } from '../src/platform/context.ts';
import { withTransaction } from '../src/platform/db/transaction.ts';
import { AppError } from '../src/platform/errors.ts';
import { makeFolder } from '../src/platform/folders.ts';
import { randomToken } from '../src/platform/ids.ts';
import { pause } from '../src/platform/pause.ts';
import { say } from './lib/output.ts';
import { withSession } from './lib/session.ts';

interface DemoData {
  company: Omit<Registration, 'password'>;
  operator: { name: string; email: string };
  location: Place;
  stockPerSku: number;
  products: ProductInput[];
  kyc: { pan: PanInput; bankAccount: BankInput };
}

const CREDIT_KEY = 'demo';
/** Longer than any server lets a transaction live that nobody goes on with. */
const PATIENCE_MS = 70_000;

/** The demo's data as shipped. */
async function demoData(): Promise<DemoData> {
  return JSON.parse(await readFile(new URL('../data/demo.json', import.meta.url), 'utf8')) as DemoData;
}

/**
 * Seeds "Demo Traders" once (SEED_DEMO=off or production: never) and says how to sign in. Every step looks whether it
 * is done, so a first start that was interrupted is finished by the next one.
 */
export async function seedDemo(config: Config, tell: (line: string) => void): Promise<void> {
  if (!config.seedDemo || config.nodeEnv === 'production' || config.role === 'worker') return;
  const data = await demoData();
  const password = await demoPassword(config);
  await patiently(async () => {
    const ctx = systemCtx('seed', await ensureCompany(data, password));
    await ensureShop(ctx, data);
    await ensureKyc(ctx, data);
    await once(() =>
      withTransaction(ctx, (ctx) => creditWallet(ctx, { amountPaise: config.demoWalletCreditPaise, cause: 'credit for trying Dakiya', key: CREDIT_KEY })),
    );
  });
  // What an earlier start has set stays, also under another DEMO_PASSWORD or DATA_DIR.
  const told = (await passwordFits(data.company.email, password)) ? `password ${password}` : 'with the password that was set before';
  tell(`Demo Traders: sign in as ${data.company.email} (owner) or ${data.operator.email} (operator), ${told}`);
}

/** The company that `import` works for when none is named. */
export async function demoCompanyId(): Promise<string | undefined> {
  return (await findUserByEmail((await demoData()).company.email))?.companyId;
}

/** Tries again while rows are busy: a start that was killed holds its own until the server ends its transaction. */
async function patiently(steps: () => Promise<void>): Promise<void> {
  const endMs = nowMs() + PATIENCE_MS;
  for (;;) {
    try {
      return await steps();
    } catch (error) {
      if (!(error instanceof AppError && error.kind === 'unavailable') || nowMs() > endMs) throw error;
      await pause(200);
    }
  }
}

/** Runs a step that may have been done before, by an earlier start or another process. */
async function once(step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (!(error instanceof AppError && error.kind === 'conflict')) throw error;
  }
}

async function ensureCompany(data: DemoData, password: string): Promise<string> {
  const ctx = beforeSignIn('seed');
  const options = { emailVerified: true, anyPassword: true };
  if (!(await findUserByEmail(data.company.email))) await once(() => registerCompany(ctx, { ...data.company, password }, options));
  if (!(await findUserByEmail(data.operator.email))) await once(() => createOperator(ctx, { ...data.operator, role: 'platform_admin', password }, options));
  const owner = await findUserByEmail(data.company.email);
  if (!owner) throw new Error('The demo owner was not made');
  return owner.companyId;
}

async function ensureShop(ctx: OutsideTx, data: DemoData): Promise<void> {
  const [location = await addLocation(ctx, data.location)] = await activeLocations(ctx);
  if ((await connectionsOf(ctx, [ctx.companyId])).length === 0) await addConnection(ctx, { courier: SANDBOX_COURIER, name: 'Sandbox', mode: 'sandbox', credentials: {} });
  const skus = data.products.map((p) => p.sku);
  const stocked = new Set((await stockRows.see(ctx, [{ companyId: ctx.companyId, names: skus }])).map((s) => s.sku));
  const missing = data.products.filter((p) => !stocked.has(p.sku));
  if (missing.length === 0) return;
  for (const product of missing) await once(() => addProduct(ctx, product));
  await receiveStock(ctx, { reference: 'OPENING', lines: missing.map(({ sku }) => ({ sku, locationId: location._id, quantity: data.stockPerSku })) });
}

/** In progress: what comes next, submitting it, is for whoever tries the demo. */
async function ensureKyc(ctx: OutsideTx, { kyc }: DemoData): Promise<void> {
  const row = await ownKyc(ctx);
  if (!row?.pan) await savePan(ctx, kyc.pan);
  if (!row?.bankAccount) await saveBankAccount(ctx, kyc.bankAccount);
}

/** DEMO_PASSWORD, or one generated at the first start and kept under DATA_DIR. */
async function demoPassword(config: Config): Promise<string> {
  if (config.demoPassword !== undefined) return config.demoPassword;
  const file = join(config.dataDir, 'demo-password');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.length >= 12) return kept;
  const password = `Namaste-${randomToken(6)}-7a`;
  await makeFolder(config.dataDir);
  await writeFile(file, password, { mode: 0o600 });
  await chmod(file, 0o600);
  return password;
}

/** `seed --demo`. */
export async function seedCommand(): Promise<number> {
  return withSession(async ({ config }) => {
    if (config.nodeEnv === 'production') {
      process.stderr.write('The demo is not for production\n');
      return 1;
    }
    await seedDemo({ ...config, seedDemo: true, role: 'both' }, say);
    return 0;
  });
}
