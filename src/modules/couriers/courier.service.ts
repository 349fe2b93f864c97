import { now } from '../../platform/clock.ts';
import { acrossCompanies, PLATFORM_COMPANY_ID, systemCtx, type Ctx, type OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { seal } from '../../platform/db/sealed.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, notFound } from '../../platform/errors.ts';
import { isId, randomToken, sameText, sha256 } from '../../platform/ids.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { runtime } from '../../platform/runtime.ts';
import { COURIERS, normalizeConnection, WEBHOOK_HEADER, type ConnectionChange, type ConnectionInput } from './connection.rules.ts';
import { callCourier, courierHealth, type CourierAccess, type CourierHealth } from './courier.calls.ts';
import { connections, type Connection } from './courier.model.ts';
import { courierEntry, findCourier } from './courier.registry.ts';
import { SANDBOX_COURIER } from './sandbox/sandbox.adapter.ts';

/** A new connection with what its courier must be told; the token is shown this once and stored as its hash. */
export interface NewConnection {
  row: Row<Connection>;
  webhook: { url: string; header: string; token: string };
}

/** Makes a connection with a courier; 400 naming every faulty credential. */
export async function addConnection(ctx: OutsideTx, input: ConnectionInput): Promise<NewConnection> {
  const { credentials, ...rest } = normalizeConnection(input);
  const token = randomToken(32);
  const stored = { ...rest, credentials: seal(credentials), webhookTokenHash: sha256(token) };
  return withTransaction(ctx, async (ctx) => {
    const row = await connections.insert(ctx, stored);
    return { row, webhook: { url: webhookUrl(row), header: WEBHOOK_HEADER, token } };
  });
}

function webhookUrl(row: Row<Connection>): string {
  const { publicUrl, host, port } = runtime().config;
  const base = (publicUrl ?? `http://${host}:${port}`).replace(/\/+$/, '');
  return `${base}/v1/courier-webhooks/${row.courier}/${row._id}`;
}

/** One page of the company's connections in use, newest first. */
export async function listConnections(ctx: Ctx, request: PageRequest): Promise<Page<Row<Connection>>> {
  return connections.list(ctx, { archivedAt: { $exists: false } }, request);
}

/** One connection in use. */
export async function getConnection(ctx: Ctx, id: string): Promise<Row<Connection>> {
  const row = await connections.get(ctx, id);
  if (row.archivedAt) throw notFound('connection');
  return row;
}

/** Changes name, mode or credentials (all of them together) under the version the caller saw. */
export async function changeConnection(ctx: OutsideTx, id: string, change: ConnectionChange, version: number): Promise<Row<Connection>> {
  return withTransaction(ctx, async (ctx) => {
    const row = await getConnection(ctx, id);
    const normalized = normalizeConnection({
      courier: row.courier,
      name: change.name ?? row.name,
      mode: change.mode ?? row.mode,
      credentials: change.credentials ?? row.credentials.reveal(),
    });
    const { name, mode } = normalized;
    const credentials = change.credentials ? { credentials: seal(normalized.credentials) } : {};
    return connections.update(ctx, id, { $set: { name, mode, ...credentials } }, { version });
  });
}

/** Takes a connection out of use; shipments that were booked with it keep using it to their end. */
export async function archiveConnection(ctx: OutsideTx, id: string, version: number): Promise<Row<Connection>> {
  return withTransaction(ctx, async (ctx) => {
    await getConnection(ctx, id);
    return connections.update(ctx, id, { $set: { archivedAt: now() } }, { version });
  });
}

export interface ConnectionTest {
  ok: boolean;
  code?: string;
  message?: string;
}

/** Asks the courier something harmless with these credentials; 409 `courier_not_available` without an adapter. */
export async function testConnection(ctx: OutsideTx, id: string): Promise<ConnectionTest> {
  const row = await getConnection(ctx, id);
  const { adapter } = courierEntry(row.courier);
  const answer = await callCourier(row.courier, accessOf(row), 1, (call) => adapter.track(call, { parcels: [] }));
  return answer.ok ? { ok: true } : { ok: false, code: answer.code, message: answer.message };
}

function accessOf(row: Row<Connection>): CourierAccess {
  return { connectionId: row._id, mode: row.mode, credentials: row.credentials.reveal() };
}

const MISBEHAVING_SEED = /\b(?:slow|429|500|timeout|refused|chaos)\b/;

/**
 * True when a booking needs nobody outside to be told: the sandbox, unless its seed makes it misbehave. Such a shipment
 * is confirmed with its booking, so its version does not move by itself right after the answer.
 */
export function takesAtOnce(courier: string, connection: Row<Connection> | undefined): boolean {
  return courier === SANDBOX_COURIER && !MISBEHAVING_SEED.test(connection?.credentials.reveal()['seed'] ?? '');
}

/** What every company may use without a connection of its own. */
const OPEN_SANDBOX: CourierAccess = { connectionId: SANDBOX_COURIER, mode: 'sandbox', credentials: {} };

/** The connections in use of some companies, oldest first, in one read; the ctx comes from `acrossCompanies`. */
export async function connectionsOf(ctx: Ctx, companyIds: readonly string[]): Promise<Row<Connection>[]> {
  return connections.find(ctx, { companyId: { $in: companyIds }, archivedAt: { $exists: false } }, { sort: { createdAt: 1, _id: 1 } });
}

/**
 * The connection that a booking uses: the named one, else the company's oldest with that courier. Undefined means the
 * open sandbox. Refuses 404 `connection_not_found`, 409 `connection_of_other_courier`, 409 `connection_required`.
 */
export function chooseConnection(own: readonly Row<Connection>[], courier: string, connectionId?: string): Row<Connection> | undefined {
  if (connectionId !== undefined) {
    const named = own.find((row) => row._id === connectionId);
    if (!named) throw notFound('connection');
    if (named.courier !== courier) throw conflict('connection_of_other_courier', `This connection is with ${named.courier}`, { courier: named.courier });
    return named;
  }
  const first = own.find((row) => row.courier === courier);
  if (first || courier === SANDBOX_COURIER) return first;
  throw conflict('connection_required', 'Make a connection with this courier first', { courier });
}

/** How to reach the courier of a shipment, also through a connection that is out of use by now. */
export async function courierAccess(ctx: Ctx, connectionId: string | undefined): Promise<CourierAccess> {
  return connectionId === undefined ? OPEN_SANDBOX : accessOf(await connections.get(ctx, connectionId));
}

/** The connection that an inbound webhook proves to come from, or undefined: unknown, out of use, or a wrong token. */
export async function connectionOfWebhook(courier: string, id: string, token: string | undefined): Promise<Row<Connection> | undefined> {
  if (!isId(id) || token === undefined) return undefined;
  const ctx = acrossCompanies(systemCtx('courier-webhook', PLATFORM_COMPANY_ID), 'a webhook names its connection, not its company');
  const row = await connections.findOne(ctx, { _id: id });
  if (!row || row.courier !== courier || row.archivedAt) return undefined;
  return sameText(sha256(token), row.webhookTokenHash) ? row : undefined;
}

export interface CourierStatus extends CourierHealth {
  courier: string;
  /** False: a connection can be kept, but nothing can be sent yet. */
  available: boolean;
}

/** Every known courier and how it has answered this process. */
export function courierStatuses(): CourierStatus[] {
  return COURIERS.map((courier) => ({ courier, available: findCourier(courier) !== undefined, ...courierHealth(courier) }));
}
