import Joi from 'joi';
import { mapPage } from '../../platform/pagination.ts';
import { COMPANY_ROLES } from '../../platform/permissions.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import { ownUser } from './account.service.ts';
import { invitationShape, invitationView, userShape, userView } from './identity.views.ts';
import { invite, type Invitation } from './invitation.service.ts';
import { changeOwnUser, type OwnChange } from './me.service.ts';
import { addMember, changeMember, getMember, listMembers, removeMember, type MemberChange, type NewMember } from './member.service.ts';

const role = () => Joi.string().valid(...COMPANY_ROLES);
const locationIds = () => Joi.array().items(field.id()).min(1).max(200).unique();

export const memberRoutes = [
  route({
    method: 'get',
    path: '/v1/me',
    summary: 'Your own account',
    permission: 'me:read',
    response: userShape,
    handle: (ctx) => ownUser(ctx),
    view: userView,
  }),
  route({
    method: 'patch',
    path: '/v1/me',
    summary: 'Change your own name or phone',
    description: 'Another phone needs a sign-in of the last ten minutes, or the password in the body.',
    permission: 'me:write',
    ifMatch: true,
    body: shape<OwnChange>({ name: field.text(200), phone: field.text(40), password: field.text(1024), otp: field.text(40) }).min(1),
    response: userShape,
    errors: ['reauthentication_required', 'invalid_credentials', 'too_many_attempts'],
    handle: (ctx, { body, ifMatch }) => changeOwnUser(ctx, body, ifMatch),
    view: userView,
  }),
  route({
    method: 'get',
    path: '/v1/company/members',
    summary: 'The people of the company, oldest first',
    permission: 'members:read',
    query: pageQuery,
    response: pageOf(userShape),
    handle: (ctx, { query }) => listMembers(ctx, query),
    view: (page) => mapPage(page, userView),
  }),
  route({
    method: 'post',
    path: '/v1/company/members',
    summary: 'Add a member with an initial password',
    permission: 'members:write',
    idempotent: 'accepted',
    status: 201,
    body: shape<NewMember>({
      email: field.text(320).required(),
      name: field.text(200).required(),
      role: role().required(),
      password: field.text(1024).required(),
      phone: field.text(40),
      locationIds: locationIds(),
    }),
    response: userShape,
    errors: ['email_taken', 'role_not_allowed', 'location_not_found'],
    handle: (ctx, { body }) => addMember(ctx, body),
    view: userView,
  }),
  route({
    method: 'get',
    path: '/v1/company/members/:id',
    summary: 'One member',
    permission: 'members:read',
    params: idParams,
    response: userShape,
    handle: (ctx, { params }) => getMember(ctx, params.id),
    view: userView,
  }),
  route({
    method: 'patch',
    path: '/v1/company/members/:id',
    summary: "Change a member's name, role or locations; null lifts the limit to locations",
    permission: 'members:write',
    ifMatch: true,
    params: idParams,
    body: shape<MemberChange>({ name: field.text(200), role: role(), locationIds: locationIds().allow(null) }).min(1),
    response: userShape,
    errors: ['last_owner', 'role_not_allowed', 'location_not_found'],
    handle: (ctx, { params, body, ifMatch }) => changeMember(ctx, params.id, body, ifMatch),
    view: userView,
  }),
  route({
    method: 'delete',
    path: '/v1/company/members/:id',
    summary: 'Remove a member; his sessions end at once',
    permission: 'members:write',
    ifMatch: true,
    params: idParams,
    response: 'none',
    errors: ['last_owner', 'role_not_allowed'],
    handle: (ctx, { params, ifMatch }) => removeMember(ctx, params.id, ifMatch),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/company/invitations',
    summary: 'Invite somebody by mail to join the company',
    permission: 'members:write',
    idempotent: 'accepted',
    status: 201,
    body: shape<Invitation>({ email: field.text(320).required(), role: role().required(), locationIds: locationIds() }),
    response: invitationShape,
    errors: ['email_taken', 'role_not_allowed', 'location_not_found'],
    handle: (ctx, { body }) => invite(ctx, body),
    view: invitationView,
  }),
];
