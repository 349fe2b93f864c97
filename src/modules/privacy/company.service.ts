import { now, nowMs } from '../../platform/clock.ts';
import { inCompany, PLATFORM_COMPANY_ID, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { erasableCollections, eraseRows } from '../../platform/db/erase.ts';
import { destroyKeys } from '../../platform/db/keyring.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalidFields, notFound } from '../../platform/errors.ts';
import { pause } from '../../platform/pause.ts';
import { runtime } from '../../platform/runtime.ts';
import { noteSecurityEvent } from '../audit/index.ts';
import { changeCompanyStatus, confirmClosed, getAnyCompany } from '../companies/index.ts';
import { endCompanyAccess, endCompanySessions } from '../identity/index.ts';
import { openOrderNumbers } from '../orders/index.ts';
import { ownWallet } from '../wallet/index.ts';
import { erasures, type Erasure } from './privacy.model.ts';

export const ERASE_COMPANY = 'privacy.erase_company';
const ROWS_A_STEP = 200;
const MOST_NAMED = 20;
/** Until other processes have heard that access has ended, and what they had begun is committed. */
const LAST_ORDERS_MS = 2_000;

/**
 * Asks for the erasure of the ctx's company. It waits COMPANY_ERASURE_DAYS, in which the owner may take it back. Refuses
 * 409 `company_has_open_business` while orders are under way or money is held, 409 `erasure_exists` when one waits.
 */
export async function askCompanyErasure(ctx: OutsideTx, reason: string, waitDays = runtime().config.companyErasureDays): Promise<Row<Erasure>> {
  if (ctx.companyId === PLATFORM_COMPANY_ID) throw notFound('company');
  await assertNothingOpen(ctx);
  const dueAt = new Date(nowMs() + waitDays * 86_400_000);
  return withTransaction(ctx, async (ctx) => {
    const waiting = await erasures.findOne(ctx, { kind: 'company', state: { $in: ['waiting', 'running', 'done'] } });
    if (waiting) throw conflict('erasure_exists', 'The erasure of this company was asked for already', { id: waiting._id, state: waiting.state });
    const row = await erasures.insert(ctx, { kind: 'company', state: 'waiting', standing: true, reason: seal(reason), requestedBy: ctx.actor.id, dueAt, counts: {} });
    await noteSecurityEvent(ctx, { type: 'security.company_erased', userId: ctx.actor.id, details: { erasureId: row._id, dueAt: dueAt.toISOString() } });
    ctx.enqueue({ name: ERASE_COMPANY, payload: { erasureId: row._id }, runAt: dueAt });
    return row;
  });
}

/** The same for our staff, without the wait; 400 unless the company's name is repeated. */
export async function askErasureByStaff(ctx: OutsideTx, companyId: string, { reason, name }: { reason: string; name: string }): Promise<Row<Erasure>> {
  const company = await getAnyCompany(ctx, companyId);
  if (company.name !== name.trim()) throw invalidFields([{ path: 'name', message: 'must be the name of the company' }]);
  return askCompanyErasure(inCompany(ctx, companyId), reason, 0);
}

async function assertNothingOpen(ctx: OutsideTx): Promise<void> {
  const orderNumbers = await openOrderNumbers(ctx, MOST_NAMED);
  const heldPaise = (await ownWallet(ctx)).heldPaise;
  if (orderNumbers.length > 0 || heldPaise !== 0) {
    throw conflict('company_has_open_business', 'Orders are under way or money is held: end them first', { orderNumbers, heldPaise });
  }
}

/** Takes a waiting erasure back; 409 `erasure_begun` once it has begun. */
export async function cancelCompanyErasure(ctx: OutsideTx): Promise<Row<Erasure>> {
  return withTransaction(ctx, async (ctx) => {
    const row = await erasures.findOne(ctx, { kind: 'company', state: { $ne: 'cancelled' } });
    if (!row) throw notFound('erasure');
    const change = { $set: { state: 'cancelled' as const, finishedAt: now() }, $unset: { standing: '' as const } };
    return erasures.update(ctx, row._id, change, { where: { state: 'waiting' }, otherwise: begun });
  });
}

function begun(): ReturnType<typeof conflict> {
  return conflict('erasure_begun', 'The erasure has begun and cannot be taken back');
}

/**
 * Erases a company: its account closes, sessions and keys end, its data keys are destroyed, and what they did not seal is
 * replaced. Wallet and ledger stay. Each step may be repeated; rows go in batches with a mark of how far.
 */
export async function runCompanyErasure(ctx: OutsideTx, erasureId: string): Promise<void> {
  const erasure = await erasures.findOne(ctx, { _id: erasureId });
  if (!erasure || erasure.state === 'done') return;
  if (erasure.state === 'cancelled') return reopenCompany(ctx, erasureId);
  await begin(ctx, erasure);
  await endCompanyAccess(ctx);
  const collections = erasableCollections();
  let { collection, after } = erasure.at ?? { collection: collections[0] ?? '', after: '' };
  for (let i = Math.max(0, collections.indexOf(collection)); i < collections.length; i += 1, after = '') {
    collection = collections[i] ?? '';
    for (let from: string | undefined = after; from !== undefined; ) from = await eraseStep(ctx, erasureId, { collection, after: from });
  }
  await withTransaction(ctx, async (ctx) => {
    const seen = await erasures.get(ctx, erasureId);
    await erasures.update(ctx, erasureId, { $set: { state: 'done', finishedAt: now() }, $unset: { at: '' } }, { version: seen.version });
  });
}

/** From here on there is no way back: keys and the state of the erasure change together, on an account that is closed. */
async function begin(ctx: OutsideTx, erasure: Row<Erasure>): Promise<void> {
  if (erasure.state === 'running') return;
  try {
    await closeCompany(ctx, erasure._id);
    await withTransaction(ctx, async (ctx) => {
      const seen = await erasures.get(ctx, erasure._id);
      if (seen.state === 'cancelled') throw begun();
      if (seen.state !== 'waiting') return;
      await confirmClosed(ctx);
      await destroyKeys(ctx, ctx.companyId);
      await noteSecurityEvent(ctx, { type: 'security.keys_destroyed', details: { erasureId: seen._id } });
      await erasures.update(ctx, seen._id, { $set: { state: 'running' }, $unset: { statusBefore: '' } }, { version: seen.version });
    });
  } catch (error) {
    await reopenCompany(ctx, erasure._id);
    throw error;
  }
}

/**
 * Closes the account, and looks once more when nobody can come any more: what was begun before would lose its customer. What
 * the company was is written down first, so that it is that again whatever comes in between.
 */
async function closeCompany(ctx: OutsideTx, erasureId: string): Promise<void> {
  await assertNothingOpen(ctx);
  const { status, version } = await getAnyCompany(ctx, ctx.companyId);
  if (status !== 'closed') {
    await withTransaction(ctx, async (ctx) => {
      const seen = await erasures.get(ctx, erasureId);
      if (seen.state !== 'waiting') throw begun();
      await erasures.update(ctx, erasureId, { $set: { statusBefore: status } }, { version: seen.version });
    });
    await changeCompanyStatus(ctx, ctx.companyId, { status: 'closed', reason: 'erased' }, version);
  }
  await endCompanySessions(ctx);
  await pause(LAST_ORDERS_MS);
  await assertNothingOpen(ctx);
}

/** The company is again what it was before an erasure that has not begun, or never will. */
async function reopenCompany(ctx: OutsideTx, erasureId: string): Promise<void> {
  const { state, statusBefore } = await erasures.get(ctx, erasureId);
  if (statusBefore === undefined || state === 'running' || state === 'done') return;
  const { status, version } = await getAnyCompany(ctx, ctx.companyId);
  if (status === 'closed') await changeCompanyStatus(ctx, ctx.companyId, { status: statusBefore }, version);
  await withTransaction(ctx, async (ctx) => {
    const seen = await erasures.get(ctx, erasureId);
    if (seen.statusBefore !== undefined) await erasures.update(ctx, erasureId, { $unset: { statusBefore: '' } }, { version: seen.version });
  });
}

async function eraseStep(ctx: OutsideTx, id: string, at: { collection: string; after: string }): Promise<string | undefined> {
  return withTransaction(ctx, async (ctx) => {
    const last = await eraseRows(ctx, at.collection, { after: at.after, most: ROWS_A_STEP });
    const seen = await erasures.get(ctx, id);
    await erasures.update(ctx, id, { $set: { at: { collection: at.collection, after: last ?? 'g' } } }, { version: seen.version });
    return last;
  });
}
