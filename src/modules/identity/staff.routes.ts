import Joi from 'joi';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { staffSessionShape, staffSessionView, userShape, userView } from './identity.views.ts';
import { endAnySession, endSessionsOf, listSessions, type SessionQuery } from './session.staff.service.ts';
import { setUserStatus, switchOffMfa, unlockUser } from './staff.service.ts';

export const staffRoutes = [
  route({
    method: 'post',
    path: '/v1/admin/users/:id/unlock',
    summary: "Lift the lock-out of a user's sign-in",
    permission: 'admin:users',
    params: idParams,
    response: userShape,
    handle: (ctx, { params }) => unlockUser(ctx, params.id),
    view: userView,
  }),
  route({
    method: 'post',
    path: '/v1/admin/users/:id/disable',
    summary: 'Shut a user out; the sessions end at once',
    permission: 'admin:users',
    params: idParams,
    response: userShape,
    handle: (ctx, { params }) => setUserStatus(ctx, params.id, 'disabled'),
    view: userView,
  }),
  route({
    method: 'post',
    path: '/v1/admin/users/:id/enable',
    summary: 'Let a disabled user in again',
    permission: 'admin:users',
    params: idParams,
    response: userShape,
    handle: (ctx, { params }) => setUserStatus(ctx, params.id, 'active'),
    view: userView,
  }),
  route({
    method: 'post',
    path: '/v1/admin/users/:id/mfa/disable',
    summary: 'Switch the two-step sign-in of a user off who has lost his authenticator and recovery keys',
    description: 'Make sure who asks first. The reason is kept; the user is told by mail, and his sessions end.',
    permission: 'admin:users',
    params: idParams,
    body: shape<{ reason: string }>({ reason: field.text(1_000).required() }),
    response: userShape,
    errors: ['mfa_not_enabled'],
    handle: (ctx, { params, body }) => switchOffMfa(ctx, params.id, body.reason),
    view: userView,
  }),
  route({
    method: 'get',
    path: '/v1/admin/sessions',
    summary: 'Live sessions of anybody, the latest used first',
    permission: 'admin:sessions',
    query: Joi.object<SessionQuery>({ ...pageQueryKeys, userId: field.id(), companyId: field.id() }),
    response: pageOf(staffSessionShape),
    handle: (_ctx, { query }) => listSessions(query),
    view: (page) => mapPage(page, staffSessionView),
  }),
  route({
    method: 'delete',
    path: '/v1/admin/sessions',
    summary: 'End all sessions of a user',
    permission: 'admin:sessions',
    query: Joi.object<{ userId: string }>({ userId: field.id().required() }),
    response: 'none',
    handle: (ctx, { query }) => endSessionsOf(ctx, query.userId),
    view: () => undefined,
  }),
  route({
    method: 'delete',
    path: '/v1/admin/sessions/:id',
    summary: 'End one session of anybody',
    permission: 'admin:sessions',
    params: idParams,
    response: 'none',
    handle: (ctx, { params }) => endAnySession(ctx, params.id),
    view: () => undefined,
  }),
];
