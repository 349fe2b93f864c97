import type { Ctx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import { idAfter } from '../../platform/ids.ts';
import { pageLimit, readCursor, writeCursor, type Page, type PageRequest } from '../../platform/pagination.ts';
import { movements, stock, type Movement, type MovementKind, type MovementRow, type Stock } from './stock.model.ts';
import { STOCK_ROW_FIELDS, type StockRow } from './stock.service.ts';

/** Which stock rows. */
export interface StockQuery extends PageRequest {
  sku?: string | undefined;
  locationId?: string | undefined;
}

/** Which movements; `referenceId` is the order, receipt or transfer that caused them. */
export interface MovementQuery extends StockQuery {
  kind?: MovementKind | undefined;
  referenceId?: string | undefined;
}

interface AtPlace {
  sku: string;
  locationId: string;
}

/** A member who is limited to some locations sees theirs only, whatever is asked for. */
function placeFilter(ctx: Ctx, { locationId }: StockQuery): Filter<AtPlace> {
  const own = ctx.actor.locationIds;
  const wished = locationId === undefined ? undefined : [locationId];
  const places = own ? (wished ?? own).filter((id) => own.includes(id)) : wished;
  return places ? { locationId: { $in: places } } : {};
}

/** One page of stock rows, newest row first. */
export async function listStock(ctx: Ctx, query: StockQuery): Promise<Page<Row<Stock>>> {
  const filter = { ...(placeFilter(ctx, query) as Filter<Stock>), ...(query.sku === undefined ? {} : { sku: query.sku.trim() }) };
  return stock.list(ctx, filter, query);
}

/** A movement as it is shown, whichever row carries it. */
export interface ListedMovement extends Movement {
  id: string;
  createdAt: Date;
}

/** One page of movements, newest first. */
export async function listMovements(ctx: Ctx, query: MovementQuery): Promise<Page<ListedMovement>> {
  const { kind, referenceId } = query;
  const sku = query.sku?.trim();
  const filter = {
    ...(placeFilter(ctx, query) as Filter<MovementRow>),
    ...(sku === undefined ? {} : { 'lines.sku': sku }),
    ...(kind === undefined ? {} : { kind }),
    ...(referenceId === undefined ? {} : { 'reference.id': referenceId }),
  };
  const { data: rows, nextCursor } = await movements.list(ctx, filter, query);
  // The ids of a row's movements follow the row's own, so a cursor may stand inside of a row: that row comes once more.
  const shown = query.cursor === undefined ? undefined : readCursor(query.cursor);
  const all = rows
    .flatMap(movementsOf)
    .filter(({ movement: { id, sku: own, createdAt } }) => (sku === undefined || own === sku) && !(shown && createdAt.getTime() === shown.at && id >= shown.id));
  const limit = pageLimit(query);
  const [last, next] = [all[limit - 1], all[limit]];
  const data = all.slice(0, limit).map(({ movement }) => movement);
  if (!last || !next) return { data, nextCursor };
  return { data, nextCursor: writeCursor({ at: last.movement.createdAt.getTime(), id: next.rowId === last.rowId ? last.movement.id : last.rowId }) };
}

interface FromRow {
  rowId: string;
  movement: ListedMovement;
}

function movementsOf({ lines, _id: rowId, createdAt, locationId, kind, reference, reason, actorId }: Row<MovementRow>): FromRow[] {
  const cause = { locationId, kind, reference, ...(reason === undefined ? {} : { reason }), actorId, createdAt };
  return lines.map((line, n) => ({ rowId, movement: { id: idAfter(rowId, n), ...line, ...cause } })).reverse();
}

/** Every stock row that something is reserved of; for checks, over the companies of the ctx. */
export async function reservedByStock(ctx: Ctx): Promise<StockRow[]> {
  return stock.find(ctx, { reserved: { $gt: 0 } }, { fields: STOCK_ROW_FIELDS });
}
