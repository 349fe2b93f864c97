import { now } from '../../platform/clock.ts';
import type { Ctx, OutsideTx, Tx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal, sealIf } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, notFound } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { knownPincodes } from '../pincodes/index.ts';
import { companies, locations, type Company, type Location, type Place } from './company.model.ts';
import { normalizeLocation, sealPlace } from './company.rules.ts';

/** Opens a company's account inside the caller's transaction; the ctx's company id becomes its id. */
export async function createCompany(tx: Tx, { name, email, phone }: { name: string; email: string; phone: string }): Promise<Row<Company>> {
  const company = await companies.insert(tx, { _id: tx.companyId, name, email: seal(email), phone: seal(phone), status: 'active', kycStatus: 'not_started' });
  tx.emit({ type: 'company.registered', key: tx.companyId, payload: {} });
  return company;
}

/** The company of this ctx. */
export async function ownCompany(ctx: Ctx): Promise<Row<Company>> {
  return companies.get(ctx, ctx.companyId);
}

/** What a company changes of itself. */
export interface CompanyChange {
  name?: string;
  phone?: string;
  stateCode?: string;
}

/** Changes the company's own name, phone or registered state; guarded by the version the caller saw. */
export async function changeCompany(ctx: OutsideTx, { phone, ...change }: CompanyChange, version: number): Promise<Row<Company>> {
  return withTransaction(ctx, async (ctx) => companies.update(ctx, ctx.companyId, { $set: { ...change, phone: sealIf(phone) } }, { version }));
}

/** Notes that an owner has proved an e-mail address; the first proof counts, later ones change nothing. */
export async function noteEmailVerified(tx: Tx): Promise<void> {
  const company = await companies.get(tx, tx.companyId);
  if (company.emailVerifiedAt) return;
  await companies.update(tx, company._id, { $set: { emailVerifiedAt: now() } }, { version: company.version });
}

/** Adds a location; stock and pickups refer to it from now on. */
export async function addLocation(ctx: OutsideTx, input: Place): Promise<Row<Location>> {
  const location = normalizeLocation(input, await knownPincodes());
  return withTransaction(ctx, async (ctx) => locations.insert(ctx, sealPlace(location)));
}

/** Changes a location under the version the caller saw; 404 outside a member's own locations. */
export async function changeLocation(ctx: OutsideTx, id: string, change: Partial<Place>, version: number): Promise<Row<Location>> {
  const normalized = normalizeLocation(change, await knownPincodes());
  return withTransaction(ctx, async (ctx) => {
    const { _id } = await getLocation(ctx, id);
    return locations.update(ctx, _id, { $set: sealPlace(normalized) }, { version });
  });
}

/** Takes a location out of use; it stays readable, because stock and shipments refer to it. */
export async function archiveLocation(ctx: OutsideTx, id: string, version: number): Promise<Row<Location>> {
  return withTransaction(ctx, async (ctx) => {
    const location = await activeLocation(ctx, id);
    return locations.update(ctx, location._id, { $set: { archivedAt: now() } }, { version });
  });
}

/** One page of the company's locations in use, oldest first; a member limited to some sees only those. */
export async function listLocations(ctx: Ctx, request: PageRequest): Promise<Page<Row<Location>>> {
  const own = ctx.actor.locationIds ? { _id: { $in: ctx.actor.locationIds } } : {};
  return locations.list(ctx, { archivedAt: { $exists: false }, ...own }, request, { field: 'createdAt', direction: 1 });
}

/** One location, archived or not; 404 outside a member's own locations. */
export async function getLocation(ctx: Ctx, id: string): Promise<Row<Location>> {
  if (ctx.actor.locationIds && !ctx.actor.locationIds.includes(id)) throw notFound('location');
  return locations.get(ctx, id);
}

/** A location in use; 404 when unknown, 409 `location_archived` when out of use. */
export async function activeLocation(ctx: Ctx, id: string): Promise<Row<Location>> {
  const location = await getLocation(ctx, id);
  if (location.archivedAt) throw conflict('location_archived', 'This location is out of use; choose another');
  return location;
}

/** All locations in use, oldest first; the first one is the default pickup. */
export async function activeLocations(ctx: Ctx): Promise<Row<Location>[]> {
  return locations.find(ctx, { archivedAt: { $exists: false } }, { sort: { createdAt: 1, _id: 1 }, limit: 1000 });
}
