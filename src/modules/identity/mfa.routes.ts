import Joi from 'joi';
import { field, route, shape } from '../../platform/route.ts';
import type { Enrolment } from './mfa.rules.ts';
import { confirmMfa, disableMfa, enrollMfa } from './mfa.service.ts';
import type { Proofs } from './reauth.service.ts';

const proofs = shape<Proofs>({ password: field.text(1024), otp: field.text(40) });

export const mfaRoutes = [
  route({
    method: 'post',
    path: '/v1/auth/mfa/enroll',
    summary: 'A new secret for your authenticator; nothing is asked for before it is confirmed',
    description: 'Needs a sign-in of the last ten minutes, or the password in the body.',
    permission: 'signedIn',
    body: proofs,
    response: shape<Enrolment>({ secret: Joi.string().required(), otpauthUrl: Joi.string().required() }),
    errors: ['mfa_enabled', 'reauthentication_required', 'invalid_credentials', 'too_many_attempts'],
    handle: (ctx, { body }) => enrollMfa(ctx, body),
    view: (made) => made,
  }),
  route({
    method: 'post',
    path: '/v1/auth/mfa/confirm',
    summary: 'Switch two-step sign-in on with a first code; answers ten recovery keys, shown this once',
    permission: 'signedIn',
    body: shape<{ otp: string }>({ otp: field.text(40).required() }),
    response: Joi.object<{ recoveryKeys: string[] }>({ recoveryKeys: Joi.array().items(Joi.string()).required() }),
    errors: ['invalid_otp', 'mfa_not_enrolled', 'mfa_enabled', 'reauthentication_required', 'too_many_attempts'],
    handle: (ctx, { body }) => confirmMfa(ctx, body.otp),
    view: (recoveryKeys) => ({ recoveryKeys }),
  }),
  route({
    method: 'post',
    path: '/v1/auth/mfa/disable',
    summary: 'Switch two-step sign-in off',
    description: 'Needs a sign-in of the last ten minutes, or password and otp in the body.',
    permission: 'signedIn',
    body: proofs,
    response: 'none',
    errors: ['mfa_not_enabled', 'mfa_required', 'invalid_otp', 'reauthentication_required', 'invalid_credentials', 'too_many_attempts'],
    handle: (ctx, { body }) => disableMfa(ctx, body),
    view: () => undefined,
  }),
];
