import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import type { BlockedAddress } from './address.model.ts';
import { blockAddress, listBlocks, unblock, unblockAddress, type BlockRequest } from './address.service.ts';

interface BlockedAddressView {
  id: string;
  address: string;
  kind: string;
  reason: string;
  until: string;
  createdAt: string;
  version: number;
}

function blockedAddressView({ _id, address, kind, reason, until, createdAt, version }: Row<BlockedAddress>): BlockedAddressView {
  return { id: _id, address, kind, reason, until: until.toISOString(), createdAt: createdAt.toISOString(), version };
}

const blockedAddressShape = shape<BlockedAddressView>({
  id: field.id().required(),
  address: Joi.string().required(),
  kind: Joi.string().valid('automatic', 'manual').required(),
  reason: Joi.string().required(),
  until: field.isoTime().required(),
  createdAt: field.isoTime().required(),
  version: field.version().required(),
});

const path = '/v1/admin/blocked-addresses';
const permission = 'admin:addresses';

export const addressRoutes = [
  route({
    method: 'get',
    path,
    summary: 'Addresses that are blocked now, automatically or by our staff',
    permission,
    query: pageQuery,
    response: pageOf(blockedAddressShape),
    handle: (ctx, { query }) => listBlocks(ctx, query),
    view: (page) => mapPage(page, blockedAddressView),
  }),
  route({
    method: 'post',
    path,
    summary: 'Block an address (of IPv6 its network of 64 bits), for an hour unless told; replaces a block that it has',
    description: 'Holds for every call from there within about a second, except for signed-in staff who may lift it.',
    permission,
    idempotent: 'accepted',
    status: 201,
    body: shape<BlockRequest>({ address: field.text(50).required(), reason: field.text(500).required(), seconds: field.count(1, 31_536_000) }),
    response: blockedAddressShape,
    handle: (ctx, { body }) => blockAddress(ctx, body),
    view: blockedAddressView,
  }),
  route({
    method: 'delete',
    path,
    summary: 'Lift the block of an address',
    permission,
    query: Joi.object<{ address: string }>({ address: field.text(50).required() }),
    response: 'none',
    handle: (ctx, { query }) => unblockAddress(ctx, query.address),
    view: () => undefined,
  }),
  route({
    method: 'delete',
    path: `${path}/:id`,
    summary: 'Lift a block by its id',
    permission,
    params: idParams,
    response: 'none',
    handle: (ctx, { params }) => unblock(ctx, params.id),
    view: () => undefined,
  }),
];
