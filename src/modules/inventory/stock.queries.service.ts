import type { Ctx } from '../../platform/context.ts';
import type { Filter, Row } from '../../platform/db/collection.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { movements, stock, type Movement, type MovementKind, type Stock } from './stock.model.ts';
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
function placeFilter(ctx: Ctx, { sku, locationId }: StockQuery): Filter<AtPlace> {
  const own = ctx.actor.locationIds;
  const wished = locationId === undefined ? undefined : [locationId];
  const places = own ? (wished ?? own).filter((id) => own.includes(id)) : wished;
  return { ...(sku === undefined ? {} : { sku: sku.trim() }), ...(places ? { locationId: { $in: places } } : {}) };
}

/** One page of stock rows, newest row first. */
export async function listStock(ctx: Ctx, query: StockQuery): Promise<Page<Row<Stock>>> {
  return stock.list(ctx, placeFilter(ctx, query) as Filter<Stock>, query);
}

/** One page of movements, newest first. */
export async function listMovements(ctx: Ctx, query: MovementQuery): Promise<Page<Row<Movement>>> {
  const { kind, referenceId } = query;
  const filter = {
    ...(placeFilter(ctx, query) as Filter<Movement>),
    ...(kind === undefined ? {} : { kind }),
    ...(referenceId === undefined ? {} : { 'reference.id': referenceId }),
  };
  return movements.list(ctx, filter, query);
}

/** Every stock row that something is reserved of; for checks, over the companies of the ctx. */
export async function reservedByStock(ctx: Ctx): Promise<StockRow[]> {
  return stock.find(ctx, { reserved: { $gt: 0 } }, { fields: STOCK_ROW_FIELDS });
}
