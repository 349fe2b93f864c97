import Joi from 'joi';
import { PLATFORM_COMPANY_ID } from '../../platform/context.ts';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import { ZONE_LIMITS, type ZoneChange } from './custom-zone.rules.ts';
import type { CustomZone, ZonePolygon } from './rate.model.ts';
import { addZone, changeZone, getZone, listZones, removeZone, type ZoneInput } from './zone.service.ts';
import { ZONES } from './zone.rules.ts';

interface ZoneView extends CustomZone {
  id: string;
  /** True for a default zone of the platform. */
  platform: boolean;
  version: number;
  createdAt: string;
}

function zoneView(row: Row<CustomZone>): ZoneView {
  const { name, zone, postalCodes, carriers, serviceTypes, geographicalBoundaries } = row;
  return {
    id: row._id,
    name,
    ...(zone && { zone }),
    postalCodes,
    carriers,
    serviceTypes,
    ...(geographicalBoundaries && { geographicalBoundaries }),
    platform: row.companyId === PLATFORM_COMPANY_ID,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

const degrees = Joi.number().min(-180).max(180);
const ring = Joi.array().items(Joi.array().items(degrees).length(2)).max(ZONE_LIMITS.positions);
const polygon = shape<ZonePolygon>({
  type: Joi.string().valid('Polygon').required(),
  coordinates: Joi.array().items(ring).min(1).max(ZONE_LIMITS.rings).required(),
});

const zoneKeys = {
  name: field.text(200),
  zone: Joi.string().valid(...ZONES),
  postalCodes: Joi.array().items(field.text(20)).max(ZONE_LIMITS.postalCodes),
  carriers: Joi.array().items(field.text(100)).max(ZONE_LIMITS.carriers),
  serviceTypes: Joi.array().items(field.text(100)).max(ZONE_LIMITS.serviceTypes),
  geographicalBoundaries: polygon,
};

const zoneShape = shape<ZoneView>({
  ...zoneKeys,
  id: field.id().required(),
  name: zoneKeys.name.required(),
  postalCodes: zoneKeys.postalCodes.required(),
  carriers: zoneKeys.carriers.required(),
  serviceTypes: zoneKeys.serviceTypes.required(),
  platform: Joi.boolean().required(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

export const zoneRoutes = [
  route({
    method: 'post',
    path: '/v1/zones',
    summary: "Add a custom zone: with a zone letter its pincodes or area override the zone of the company's own cards",
    permission: 'zones:write',
    idempotent: 'accepted',
    status: 201,
    body: shape<ZoneInput>({ ...zoneKeys, name: zoneKeys.name.required() }),
    response: zoneShape,
    errors: ['zone_exists', 'too_many_zones'],
    handle: (ctx, { body }) => addZone(ctx, body),
    view: zoneView,
  }),
  route({
    method: 'get',
    path: '/v1/zones',
    summary: "The company's own zones and the platform's, newest first",
    permission: 'zones:read',
    query: pageQuery,
    response: pageOf(zoneShape),
    handle: (ctx, { query }) => listZones(ctx, query),
    view: (page) => mapPage(page, zoneView),
  }),
  route({
    method: 'get',
    path: '/v1/zones/:id',
    summary: 'One zone',
    permission: 'zones:read',
    params: idParams,
    response: zoneShape,
    handle: (ctx, { params }) => getZone(ctx, params.id),
    view: zoneView,
  }),
  route({
    method: 'patch',
    path: '/v1/zones/:id',
    summary: 'Change a custom zone; null takes its zone letter or its area away',
    permission: 'zones:write',
    ifMatch: true,
    params: idParams,
    body: shape<ZoneChange>({ ...zoneKeys, zone: zoneKeys.zone.allow(null), geographicalBoundaries: polygon.allow(null) }).min(1),
    response: zoneShape,
    errors: ['zone_exists'],
    handle: (ctx, { params, body, ifMatch }) => changeZone(ctx, params.id, body, ifMatch),
    view: zoneView,
  }),
  route({
    method: 'delete',
    path: '/v1/zones/:id',
    summary: 'Remove a custom zone',
    permission: 'zones:write',
    ifMatch: true,
    params: idParams,
    response: 'none',
    handle: (ctx, { params, ifMatch }) => removeZone(ctx, params.id, ifMatch),
    view: () => undefined,
  }),
];
