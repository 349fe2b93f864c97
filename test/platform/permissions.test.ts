import { strict as assert } from 'node:assert';
import { PERMISSIONS, SCOPES, isRole, isScope, permissionsOf, type Permission } from '../../src/platform/permissions.ts';

/** Written out by hand: one column per role, so that a changed right shows up here. o owner, a admin, p operations, f finance, v viewer, s operator, m platform_admin. */
const EXPECTED: Record<Permission, string> = {
  'me:read': 'oapfvsm',
  'me:write': 'oapfvsm',
  'company:read': 'oapfv',
  'company:write': 'oa',
  'members:read': 'oapfv',
  'members:write': 'oa',
  'api-keys:read': 'oapfv',
  'api-keys:write': 'oa',
  'locations:read': 'oapfv',
  'locations:write': 'oap',
  'kyc:read': 'oapfv',
  'kyc:write': 'oa',
  'kyc:reveal': 'o',
  'products:read': 'oapfv',
  'products:write': 'oap',
  'stock:read': 'oapfv',
  'stock:write': 'oap',
  'coupons:read': 'oapfv',
  'coupons:write': 'oap',
  'carts:read': 'oapfv',
  'carts:write': 'oap',
  'orders:read': 'oapfv',
  'orders:write': 'oap',
  'imports:read': 'oapfvm',
  'imports:write': 'oapm',
  'payments:read': 'oapfv',
  'payments:write': 'oapf',
  'rates:read': 'oapfv',
  'quotes:read': 'oapfv',
  'quotes:write': 'oap',
  'rate-cards:read': 'oapfvm',
  'rate-cards:write': 'oam',
  'zones:read': 'oapfvm',
  'zones:write': 'oam',
  'couriers:read': 'oapfvsm',
  'connections:read': 'oapfv',
  'connections:write': 'oa',
  'shipments:read': 'oapfv',
  'shipments:write': 'oap',
  'scans:write': 'oap',
  'tracking:read': 'oapfv',
  'ndr:read': 'oapfv',
  'ndr:write': 'oap',
  'returns:read': 'oapfv',
  'returns:write': 'oap',
  'wallet:read': 'oapfv',
  'wallet:write': 'oaf',
  'remittances:read': 'oapfv',
  'disputes:read': 'oapfv',
  'disputes:write': 'oapf',
  'webhooks:read': 'oapfv',
  'webhooks:write': 'oa',
  'analytics:read': 'oapfv',
  'audit:read': 'oapfv',
  'security:read': 'oa',
  'customers:export': 'oa',
  'customers:erase': 'oa',
  'company:export': 'o',
  'company:erase': 'o',
  'admin:erase': 'm',
  'admin:companies': 'sm',
  'admin:users': 'sm',
  'admin:kyc': 'sm',
  'admin:disputes': 'sm',
  'admin:sessions': 'sm',
  'admin:addresses': 'sm',
  'admin:payments': 'sm',
  'admin:jobs': 'sm',
  'admin:checks': 'sm',
  'admin:audit': 'sm',
  'admin:remittances': 'm',
  'admin:staff': 'm',
  'serviceability:write': 'm',
};
const ROLES: Record<string, string> = {
  o: 'owner',
  a: 'admin',
  p: 'operations',
  f: 'finance',
  v: 'viewer',
  s: 'operator',
  m: 'platform_admin',
};

describe('permissions', () => {
  for (const [letter, role] of Object.entries(ROLES)) {
    it(`${role} may do exactly what the table says`, () => {
      const expected = Object.entries(EXPECTED).filter(([, roles]) => roles.includes(letter)).map(([permission]) => permission);
      assert.deepEqual([...permissionsOf(role)].sort(), expected.sort());
    });
  }

  it('names each permission once, as resource:action', () => {
    assert.equal(new Set(PERMISSIONS).size, PERMISSIONS.length);
    for (const permission of PERMISSIONS) assert.match(permission, /^[a-z-]+:[a-z-]+$/);
  });

  it('gives an unknown role nothing', () => {
    for (const role of ['', 'root', 'Owner', '__proto__', 'constructor']) {
      assert.equal(permissionsOf(role).size, 0);
      assert.equal(isRole(role), false);
    }
    assert.equal(isRole('viewer'), true);
  });

  it('lets an API key carry daily work only', () => {
    const scopes: string[] = [...SCOPES];
    for (const scope of ['orders:read', 'orders:write', 'shipments:read', 'shipments:write', 'scans:write', 'products:read', 'stock:write', 'rates:read', 'tracking:read', 'wallet:read']) {
      assert(isScope(scope), scope);
    }
    const never = PERMISSIONS.filter((permission) => /^(me|members|api-keys|kyc|admin|audit|webhooks|connections|serviceability):/.test(permission));
    assert.deepEqual(never.filter((permission) => scopes.includes(permission)), []);
    for (const wrong of ['orders:*', '*', '', 'company:write', 'wallet:write', 7, null]) assert.equal(isScope(wrong), false, String(wrong));
  });

  it('gives an API key nothing that an owner does not have', () => {
    for (const scope of SCOPES) assert(permissionsOf('owner').has(scope), scope);
  });
});
