import Joi from 'joi';
import { mapPage, pageAmong } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import { resendVerification, verifyEmail, type Registration } from './account.service.ts';
import { answerInForm, clearedCookies, inForm, refreshInForm, type SessionForm } from './cookie.service.ts';
import { askForEmailChange, confirmEmailChange } from './email.service.ts';
import { sessionShape, sessionView, signedInShape, signedInView, tokenShape, tokenView } from './identity.views.ts';
import type { Acceptance } from './invitation.service.ts';
import { changePassword, forgotPassword, resetPassword, type NewPassword } from './password.service.ts';
import { reauthenticate } from './reauth.service.ts';
import { endOwnSession, ownSessions, signOut, signOutEverywhere } from './session.service.ts';
import { joinCompany, signIn, signUp, type Credentials } from './sign-in.service.ts';

/** Long ones pass the shape, so that the policy can say what is wrong with them. */
const password = () => field.text(1024);
const email = () => field.text(320);
const secret = () => field.text(200);

/** `"session": "cookie"` keeps the refresh token out of the reach of a page's scripts. */
interface InForm {
  session?: SessionForm;
}
const formKeys = { session: Joi.string().valid('token', 'cookie') };

export const authRoutes = [
  route({
    method: 'post',
    path: '/v1/auth/register',
    summary: 'Open a company account; signs its owner in at once',
    permission: 'public',
    limit: 'register',
    status: 201,
    body: shape<Registration & InForm>({
      ...formKeys,
      companyName: field.text(200).required(),
      name: field.text(200).required(),
      email: email().required(),
      phone: field.text(40).required(),
      password: password().required(),
    }),
    response: signedInShape,
    errors: ['email_taken', 'too_many_attempts'],
    handle: (ctx, { body: { session, ...body }, connection, browser }) => inForm(session, browser, () => signUp(ctx, body, connection)),
    view: (signedIn) => answerInForm(signedInView(signedIn), signedIn.form),
  }),
  route({
    method: 'post',
    path: '/v1/auth/login',
    summary: 'Sign in',
    description: 'Send the deviceToken of an earlier sign-in along: a known device still gets in while strangers have the account locked.',
    permission: 'public',
    limit: 'auth',
    body: shape<Credentials & InForm>({ ...formKeys, email: email().required(), password: password().required(), otp: field.text(40), deviceToken: field.text(300) }),
    response: signedInShape,
    errors: ['invalid_credentials', 'mfa_required', 'invalid_otp', 'too_many_attempts', 'account_disabled', 'company_suspended'],
    handle: (ctx, { body: { session, ...body }, connection, browser }) => inForm(session, browser, () => signIn(ctx, body, connection)),
    view: (signedIn) => answerInForm(signedInView(signedIn), signedIn.form),
  }),
  route({
    method: 'post',
    path: '/v1/auth/refresh',
    summary: 'A new access token and the next refresh token',
    description: 'Every refresh token works once; a retry within 10 seconds gets the same successor, later use ends the session.',
    permission: 'public',
    limit: 'auth',
    body: shape<{ refreshToken?: string } & InForm>({ ...formKeys, refreshToken: field.text(300) }),
    response: tokenShape,
    errors: ['invalid_refresh_token', 'refresh_token_reused', 'origin_not_allowed', 'csrf_token_invalid', 'account_disabled', 'company_suspended'],
    handle: (_ctx, { body, browser }) => refreshInForm(body.refreshToken, browser),
    view: (pair) => answerInForm(tokenView(pair), pair.form),
  }),
  route({
    method: 'post',
    path: '/v1/auth/logout',
    summary: 'End this session; its tokens stop at once',
    permission: 'signedIn',
    // Clients of other services send their refresh token along; it is not needed.
    rawBody: 'bytes',
    response: 'none',
    handle: (ctx) => signOut(ctx),
    view: () => clearedCookies(),
  }),
  route({
    method: 'post',
    path: '/v1/auth/logout-all',
    summary: 'End all of your sessions',
    permission: 'signedIn',
    rawBody: 'bytes',
    response: 'none',
    handle: (ctx) => signOutEverywhere(ctx),
    view: () => clearedCookies(),
  }),
  route({
    method: 'get',
    path: '/v1/auth/sessions',
    summary: 'Your live sessions, the latest used first',
    permission: 'signedIn',
    query: pageQuery,
    response: pageOf(sessionShape),
    handle: async (ctx, { query }) => pageAmong(await ownSessions(ctx), query),
    view: (page) => mapPage(page, sessionView),
  }),
  route({
    method: 'delete',
    path: '/v1/auth/sessions/:id',
    summary: 'End one of your sessions',
    permission: 'signedIn',
    params: idParams,
    response: 'none',
    handle: (ctx, { params }) => endOwnSession(ctx, params.id),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/email/verify',
    summary: 'Prove an e-mail address with the mailed token',
    permission: 'public',
    limit: 'public',
    body: shape<{ token: string }>({ token: secret().required() }),
    response: Joi.object<{ emailVerified: boolean }>({ emailVerified: Joi.boolean().required() }),
    errors: ['token_invalid'],
    handle: (ctx, { body }) => verifyEmail(ctx, body.token),
    view: () => ({ emailVerified: true }),
  }),
  route({
    method: 'post',
    path: '/v1/auth/email/resend',
    summary: 'Mail the verification link again',
    permission: 'signedIn',
    limit: 'sensitive',
    response: 'none',
    handle: (ctx) => resendVerification(ctx),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/email/change',
    summary: 'Ask for another e-mail address: a link goes to it, a notice to the present one',
    permission: 'signedIn',
    limit: 'sensitive',
    body: shape<{ email: string; password: string; otp?: string }>({ email: email().required(), password: password().required(), otp: field.text(40) }),
    response: 'none',
    errors: ['invalid_credentials', 'mfa_required', 'invalid_otp', 'email_taken', 'too_many_attempts'],
    handle: (ctx, { body }) => askForEmailChange(ctx, body),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/email/confirm',
    summary: 'Make the new e-mail address yours with the token mailed to it',
    permission: 'public',
    limit: 'public',
    body: shape<{ token: string }>({ token: secret().required() }),
    response: Joi.object<{ email: string; emailVerified: boolean }>({ email: Joi.string().required(), emailVerified: Joi.boolean().required() }),
    errors: ['token_invalid', 'email_taken'],
    handle: (ctx, { body }) => confirmEmailChange(ctx, body.token),
    view: ({ email }) => ({ email: email.shown(), emailVerified: true }),
  }),
  route({
    method: 'post',
    path: '/v1/auth/reauthenticate',
    summary: 'Prove again who you are, to change e-mail, phone or second factor from an older session',
    permission: 'signedIn',
    body: shape<{ password: string; otp?: string }>({ password: password().required(), otp: field.text(40) }),
    response: 'none',
    errors: ['invalid_credentials', 'mfa_required', 'invalid_otp', 'too_many_attempts'],
    handle: (ctx, { body }) => reauthenticate(ctx, body),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/password/change',
    summary: 'Change your password; your other sessions end',
    permission: 'signedIn',
    body: shape<NewPassword>({ currentPassword: password().required(), newPassword: password().required(), otp: field.text(40) }),
    response: 'none',
    errors: ['invalid_credentials', 'mfa_required', 'invalid_otp', 'password_changed', 'too_many_attempts'],
    handle: (ctx, { body }) => changePassword(ctx, body),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/password/forgot',
    summary: 'Mail a link that sets a new password; answers the same whether the address is known or not',
    permission: 'public',
    limit: 'sensitive',
    body: shape<{ email: string }>({ email: email().required() }),
    response: 'none',
    handle: (ctx, { body }) => forgotPassword(ctx, body.email),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/password/reset',
    summary: 'Set a new password with the mailed token; ends all sessions',
    permission: 'public',
    limit: 'public',
    body: shape<{ token: string; password: string }>({ token: secret().required(), password: password().required() }),
    response: 'none',
    errors: ['token_invalid'],
    handle: (ctx, { body }) => resetPassword(ctx, body.token, body.password),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/auth/invitations/accept',
    summary: 'Join a company by invitation; signs the new member in',
    permission: 'public',
    limit: 'auth',
    status: 201,
    body: shape<Acceptance & InForm>({ ...formKeys, token: secret().required(), name: field.text(200).required(), password: password().required() }),
    response: signedInShape,
    errors: ['token_invalid', 'email_taken'],
    handle: (ctx, { body: { session, ...body }, connection, browser }) => inForm(session, browser, () => joinCompany(ctx, body, connection)),
    view: (signedIn) => answerInForm(signedInView(signedIn), signedIn.form),
  }),
];
