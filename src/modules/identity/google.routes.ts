import Joi from 'joi';
import { BrowserAnswer } from '../../platform/browser.ts';
import { field, route, shape } from '../../platform/route.ts';
import { answerInForm, inForm, type SessionForm } from './cookie.service.ts';
import { completeGoogle, finishGoogle, startGoogle, type Completion } from './google.service.ts';
import { signedInShape, signedInView } from './identity.views.ts';

const sessionForm = () => Joi.string().valid('token', 'cookie');
/** What Google may send back; only state and code are used. */
const CALLBACK_KEYS = ['state', 'code', 'scope', 'authuser', 'prompt', 'hd', 'iss', 'error', 'error_description', 'error_uri', 'error_subtype', 'session_state'];
const AWAY = ['google_sign_in_not_found', 'google_unavailable'];

export const googleRoutes = [
  route({
    method: 'get',
    path: '/v1/auth/oauth/google/start',
    summary: 'Sign in with Google: sends the browser there',
    permission: 'public',
    limit: 'public',
    query: Joi.object<{ session?: SessionForm }>({ session: sessionForm() }),
    response: 'none',
    status: 302,
    errors: AWAY,
    handle: (_ctx, { query, browser }) => startGoogle(query.session, browser),
    view: (answer) => answer,
  }),
  route({
    method: 'get',
    path: '/v1/auth/oauth/google/callback',
    summary: 'Where Google sends the browser back to; signs in, or says what is missing and gives a ticket for it',
    description: 'With PORTAL_URL, browsers that asked for cookies are redirected (302) there, with the outcome in the fragment: `google` (signed_in, or the error code), `csrfToken`, `ticket`.',
    permission: 'public',
    limit: 'public',
    query: Joi.object<Record<string, string>>(Object.fromEntries(CALLBACK_KEYS.map((key) => [key, Joi.string().allow('').max(4_096)]))),
    response: signedInShape,
    errors: [...AWAY, 'google_state_invalid', 'google_declined', 'google_refused', 'google_email_unverified', 'mfa_required', 'google_link_required', 'google_registration_required'],
    handle: (ctx, { query, browser, connection }) => finishGoogle(ctx, query, { browser, facts: connection }),
    view: (answer) => (answer instanceof BrowserAnswer ? answer : answerInForm(signedInView(answer), answer.form)),
  }),
  route({
    method: 'post',
    path: '/v1/auth/oauth/google/complete',
    summary: 'End a sign-in with Google by its ticket and what was missing',
    permission: 'public',
    limit: 'auth',
    body: shape<Completion & { session?: SessionForm }>({
      ticket: field.text(200).required(),
      password: field.text(1024),
      otp: field.text(40),
      companyName: field.text(200),
      phone: field.text(40),
      session: sessionForm(),
    }),
    response: signedInShape,
    errors: ['token_invalid', 'invalid_credentials', 'mfa_required', 'invalid_otp', 'email_taken', 'too_many_attempts', 'account_disabled', 'company_suspended'],
    handle: (ctx, { body: { session, ...body }, connection, browser }) => inForm(session, browser, () => completeGoogle(ctx, body, connection)),
    view: (signedIn) => answerInForm(signedInView(signedIn), signedIn.form),
  }),
];
