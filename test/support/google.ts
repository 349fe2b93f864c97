import { createHash, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the stand-in misbehaves next. */
export type Mischief = 'none' | 'wrongNonce' | 'wrongAudience' | 'wrongIssuer' | 'expired' | 'unverified' | 'foreignKey' | 'slow' | 'broken';

export interface Google {
  issuer: string;
  /** Who is signed in there. */
  person: { sub: string; email: string; name: string };
  mischief: Mischief;
  /** Refresh tokens given earlier, and whose accounts they are. */
  refreshTokens: Map<string, string>;
  /** Plays the page on which the person agrees: answers the address the browser is sent back to. */
  agree(authorizationUrl: string): string;
  close(): Promise<void>;
}

const text = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A stand-in for Google's OpenID server: real discovery, real RS256 signatures, real PKCE, and tricks on request. */
export async function startGoogle(client: { id: string; secret: string }): Promise<Google> {
  const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const codes = new Map<string, { nonce: string; challenge: string; redirectUri: string }>();

  const idToken = (nonce: string | undefined, sub?: string): string => {
    const { mischief, person } = google;
    const at = Math.floor(Date.now() / 1000);
    const claims = {
      iss: mischief === 'wrongIssuer' ? 'https://evil.example' : google.issuer,
      aud: mischief === 'wrongAudience' ? 'somebody-else' : client.id,
      exp: mischief === 'expired' ? at - 600 : at + 600,
      iat: at,
      ...(nonce === undefined ? {} : { nonce: mischief === 'wrongNonce' ? 'another' : nonce }),
      email_verified: mischief !== 'unverified',
      ...person,
      ...(sub === undefined ? {} : { sub }),
    };
    const signed = `${text({ alg: 'RS256', kid: 'g1', typ: 'JWT' })}.${text(claims)}`;
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign((mischief === 'foreignKey' ? foreign : own).privateKey, 'base64url')}`;
  };
  const token = (form: URLSearchParams): { status: number; body: unknown } => {
    if (form.get('grant_type') === 'refresh_token') {
      const sub = google.refreshTokens.get(form.get('refresh_token') ?? '');
      if (sub === undefined || form.get('client_secret') !== client.secret) return { status: 400, body: { error: 'invalid_grant' } };
      return { status: 200, body: { access_token: 'ya29.stand-in-again', token_type: 'Bearer', expires_in: 3599, id_token: idToken(undefined, sub) } };
    }
    const known = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    const proof = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
    const fits = known?.challenge === proof && known.redirectUri === form.get('redirect_uri') && form.get('client_secret') === client.secret;
    if (!known || !fits) return { status: 400, body: { error: 'invalid_grant' } };
    return { status: 200, body: { access_token: 'ya29.stand-in-access', refresh_token: '1//stand-in-refresh', token_type: 'Bearer', expires_in: 3599, id_token: idToken(known.nonce) } };
  };
  const server = createServer((request, response) => {
    const send = (status: number, body: unknown): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const at = (path: string): string => google.issuer + path;
    if (request.url === '/.well-known/openid-configuration') {
      return send(200, { issuer: google.issuer, authorization_endpoint: at('/auth'), token_endpoint: at('/token'), jwks_uri: at('/certs') });
    }
    if (request.url === '/certs') return send(200, { keys: [{ ...own.publicKey.export({ format: 'jwk' }), kid: 'g1', alg: 'RS256', use: 'sig' }] });
    if (google.mischief === 'broken') return send(500, { error: 'server_error' });
    if (google.mischief === 'slow') return;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { status, body } = token(new URLSearchParams(Buffer.concat(chunks).toString('utf8')));
      send(status, body);
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const google: Google = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    person: { sub: '1', email: 'nobody@gmail.example', name: 'Nila Bose' },
    mischief: 'none',
    refreshTokens: new Map(),
    agree(authorizationUrl) {
      const asked = new URL(authorizationUrl).searchParams;
      const code = randomBytes(16).toString('hex');
      codes.set(code, { nonce: asked.get('nonce') ?? '', challenge: asked.get('code_challenge') ?? '', redirectUri: asked.get('redirect_uri') ?? '' });
      const back = new URL(asked.get('redirect_uri') ?? '');
      back.search = new URLSearchParams({ state: asked.get('state') ?? '', code, scope: 'openid' }).toString();
      return back.pathname + back.search;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return google;
}
