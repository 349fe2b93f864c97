import type { Ctx, OutsideTx } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { withTransaction } from '../../platform/db/transaction.ts';
import { conflict, invalidFields, notFound } from '../../platform/errors.ts';
import type { Page, PageRequest } from '../../platform/pagination.ts';
import { readZone, ZONE_LIMITS, type ZoneChange } from './custom-zone.rules.ts';
import type { GeoPoint } from './rate-request.rules.ts';
import { zones, type CustomZone } from './rate.model.ts';

export type ZoneInput = Pick<CustomZone, 'name' | 'zone' | 'geographicalBoundaries'> &
  Partial<Pick<CustomZone, 'postalCodes' | 'carriers' | 'serviceTypes'>>;

/** MongoDB cannot index the polygon: edges that cross, or repeated positions. Nothing else tells it beforehand. */
const CANNOT_EXTRACT_GEO_KEYS = 16755;

/** Lets a write fail with 400 naming the polygon when the 2dsphere index refuses it. */
async function withGoodPolygon<T>(write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code !== CANNOT_EXTRACT_GEO_KEYS) throw error;
    throw invalidFields([{ path: 'geographicalBoundaries', message: 'This is no valid polygon: its edges must not cross' }]);
  }
}

/** One page of the company's own zones and the platform's, newest first. */
export async function listZones(ctx: Ctx, request: PageRequest): Promise<Page<Row<CustomZone>>> {
  return zones.list(ctx, {}, request);
}

/** One zone, the company's own or the platform's. */
export async function getZone(ctx: Ctx, id: string): Promise<Row<CustomZone>> {
  return zones.get(ctx, id);
}

/** Adds a zone; 409 `zone_exists` for a name that the company has, `too_many_zones` above 200. */
export async function addZone(ctx: OutsideTx, input: ZoneInput): Promise<Row<CustomZone>> {
  const zone = readZone({ postalCodes: [], carriers: [], serviceTypes: [], ...input });
  const stored = withTransaction(ctx, async (ctx) => {
    if ((await zones.count(ctx, { companyId: ctx.companyId }, ZONE_LIMITS.zones)) >= ZONE_LIMITS.zones) {
      throw conflict('too_many_zones', `A company may have ${ZONE_LIMITS.zones} zones`);
    }
    return zones.insert(ctx, zone);
  });
  return withGoodPolygon(stored);
}

/** Changes an own zone under the version the caller saw. */
export async function changeZone(ctx: OutsideTx, id: string, change: ZoneChange, version: number): Promise<Row<CustomZone>> {
  const { zone, geographicalBoundaries, ...rest } = readZone(change);
  const $set = { ...rest, ...(zone && { zone }), ...(geographicalBoundaries && { geographicalBoundaries }) };
  const $unset = {
    ...(zone === null && { zone: true as const }),
    ...(geographicalBoundaries === null && { geographicalBoundaries: true as const }),
  };
  return withGoodPolygon(withTransaction(ctx, async (ctx) => zones.update(ctx, id, { $set, $unset }, { version })));
}

/** Removes an own zone under the version the caller saw; prices made with it keep their reason as text. */
export async function removeZone(ctx: OutsideTx, id: string, version: number): Promise<void> {
  await withTransaction(ctx, async (ctx) => {
    const zone = await zones.get(ctx, id);
    if (zone.companyId !== ctx.companyId) throw notFound('zone');
    await zones.remove(ctx, id, { version });
  });
}

export type AreaZone = Pick<Row<CustomZone>, '_id' | 'companyId' | 'name' | 'zone' | 'carriers' | 'serviceTypes'>;

/** The own and platform zones whose polygon holds a point, newest first. */
export async function zonesAt(ctx: Ctx, { longitude, latitude }: GeoPoint): Promise<AreaZone[]> {
  const point = { type: 'Point', coordinates: [longitude, latitude] };
  return zones.aggregate<AreaZone>(ctx, [
    { $match: { geographicalBoundaries: { $geoIntersects: { $geometry: point } } } },
    { $sort: { createdAt: -1, _id: -1 } },
    { $limit: ZONE_LIMITS.zones },
    { $project: { companyId: 1, name: 1, zone: 1, carriers: 1, serviceTypes: 1 } },
  ]);
}
