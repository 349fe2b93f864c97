import Joi from 'joi';
import { mapPage } from '../../platform/pagination.ts';
import { SCOPES } from '../../platform/permissions.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import { createApiKey, getApiKey, listApiKeys, revokeApiKey, rotateApiKey, type NewApiKey } from './api-key.service.ts';
import { apiKeyShape, apiKeyView, mintedKeyShape, mintedKeyView } from './identity.views.ts';

const DAY_SECONDS = 86_400;

export const apiKeyRoutes = [
  route({
    method: 'post',
    path: '/v1/api-keys',
    summary: 'Make an API key; its text is shown this once',
    permission: 'api-keys:write',
    idempotent: 'accepted',
    answersSecret: true,
    status: 201,
    body: shape<NewApiKey>({
      name: field.text(100).required(),
      scopes: Joi.array().items(Joi.string().valid(...SCOPES)).min(1).max(SCOPES.length).unique().required(),
      expiresAt: field.isoTime(),
      limitPerMinute: field.count(1, 100_000),
    }),
    response: mintedKeyShape,
    handle: (ctx, { body }) => createApiKey(ctx, body),
    view: mintedKeyView,
  }),
  route({
    method: 'get',
    path: '/v1/api-keys',
    summary: 'API keys without their texts, newest first',
    permission: 'api-keys:read',
    query: pageQuery,
    response: pageOf(apiKeyShape),
    handle: (ctx, { query }) => listApiKeys(ctx, query),
    view: (page) => mapPage(page, apiKeyView),
  }),
  route({
    method: 'get',
    path: '/v1/api-keys/:id',
    summary: 'One API key without its text',
    permission: 'api-keys:read',
    params: idParams,
    response: apiKeyShape,
    handle: (ctx, { params }) => getApiKey(ctx, params.id),
    view: apiKeyView,
  }),
  route({
    method: 'delete',
    path: '/v1/api-keys/:id',
    summary: 'Revoke an API key at once',
    permission: 'api-keys:write',
    params: idParams,
    response: 'none',
    errors: ['api_key_revoked'],
    handle: (ctx, { params }) => revokeApiKey(ctx, params.id),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/api-keys/:id/rotate',
    summary: 'Give an API key a new text; the old one stays good for overlapSeconds (default one day)',
    permission: 'api-keys:write',
    idempotent: 'accepted',
    answersSecret: true,
    params: idParams,
    body: shape<{ overlapSeconds?: number }>({ overlapSeconds: field.count(0, 30 * DAY_SECONDS) }),
    response: mintedKeyShape,
    errors: ['api_key_revoked'],
    handle: (ctx, { params, body }) => rotateApiKey(ctx, params.id, body.overlapSeconds ?? DAY_SECONDS),
    view: mintedKeyView,
  }),
];
