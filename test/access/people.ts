import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createOperator } from '../../src/modules/identity/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { isScope, PERMISSIONS } from '../../src/platform/permissions.ts';
import { PASSWORD, type Merchant, type World } from '../support/world.ts';

/** The columns of the matrix: everybody who may call. */
export const CALLERS = ['anonymous', 'viewer', 'finance', 'operations', 'admin', 'owner', 'operator', 'platform_admin', 'full_key', 'other_key'] as const;

export type Caller = (typeof CALLERS)[number];

/** One line of the matrix. */
export interface MatrixRow {
  method: string;
  path: string;
  cells: Record<Caller | 'foreign', string>;
}

/** The committed table; kept as it is, never derived from the code that it judges. */
export function readMatrix(): MatrixRow[] {
  const lines = readFileSync(new URL('matrix.tsv', import.meta.url), 'utf8').trimEnd().split('\n');
  const names = (lines[0] ?? '').split('\t').slice(1);
  assert.deepEqual(names, [...CALLERS, 'foreign']);
  return lines.slice(1).map((line) => {
    const [route = '', ...cells] = line.split('\t');
    const [method = '', path = ''] = route.split(' ');
    assert.equal(cells.length, names.length, line);
    return { method, path, cells: Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ''])) as MatrixRow['cells'] };
  });
}

/** The token of a member of our staff. */
export async function staffToken(world: World, role: 'operator' | 'platform_admin'): Promise<string> {
  const email = `${role}@dakiya.test`;
  await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Staff', role, password: PASSWORD });
  return signIn(world, email);
}

/** Signs in again, for routes that end a session. */
export async function signIn(world: World, email: string): Promise<string> {
  const { status, body } = await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
  assert.equal(status, 200, JSON.stringify(body));
  return body.accessToken;
}

/** A key with these scopes. */
export async function keyWith(world: World, shop: Merchant, scopes: string[]): Promise<string> {
  const { status, body } = await world.api('POST', '/v1/api-keys', { token: shop.token, body: { name: 'Key', scopes } });
  assert.equal(status, 201, JSON.stringify(body));
  return body.key;
}

/** Every scope that a key may carry. */
export const allScopes = (): string[] => PERMISSIONS.filter(isScope);
