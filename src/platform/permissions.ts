/** Reading inside a company; every company role has all of these. */
const COMPANY_READS = [
  'company:read',
  'members:read',
  'api-keys:read',
  'locations:read',
  'kyc:read',
  'products:read',
  'stock:read',
  'coupons:read',
  'carts:read',
  'orders:read',
  'imports:read',
  'payments:read',
  'rates:read',
  'quotes:read',
  'rate-cards:read',
  'zones:read',
  'couriers:read',
  'connections:read',
  'shipments:read',
  'tracking:read',
  'ndr:read',
  'returns:read',
  'wallet:read',
  'remittances:read',
  'disputes:read',
  'webhooks:read',
  'analytics:read',
  'audit:read',
] as const;

/** Changing things inside a company. */
const COMPANY_WRITES = [
  'company:write',
  'members:write',
  'api-keys:write',
  'locations:write',
  'kyc:write',
  'kyc:reveal',
  'products:write',
  'stock:write',
  'coupons:write',
  'carts:write',
  'orders:write',
  'imports:write',
  'payments:write',
  'quotes:write',
  'rate-cards:write',
  'zones:write',
  'connections:write',
  'shipments:write',
  'scans:write',
  'ndr:write',
  'returns:write',
  'wallet:write',
  'disputes:write',
  'webhooks:write',
] as const;

/** What shows or takes away more than daily work needs; owners and admins. */
const COMPANY_SAFETY = ['security:read', 'customers:export', 'customers:erase'] as const;

/** What only owners may: the company as a whole leaves. */
const COMPANY_WHOLE = ['company:export', 'company:erase'] as const;

/** One's own account: every person has both. */
const OWN = ['me:read', 'me:write'] as const;

/** What our staff may do across companies. */
const STAFF = [
  'admin:companies',
  'admin:users',
  'admin:kyc',
  'admin:disputes',
  'admin:sessions',
  'admin:addresses',
  'admin:payments',
  'admin:jobs',
  'admin:checks',
  'admin:audit',
  'admin:remittances',
  'admin:staff',
  'admin:erase',
  'serviceability:write',
] as const;

/** Every permission, as `resource:action`. */
export const PERMISSIONS = [...OWN, ...COMPANY_READS, ...COMPANY_WRITES, ...COMPANY_SAFETY, ...COMPANY_WHOLE, ...STAFF] as const;

export type Permission = (typeof PERMISSIONS)[number];

export const COMPANY_ROLES = ['owner', 'admin', 'operations', 'finance', 'viewer'] as const;
export const STAFF_ROLES = ['operator', 'platform_admin'] as const;

export type CompanyRole = (typeof COMPANY_ROLES)[number];
export type StaffRole = (typeof STAFF_ROLES)[number];
export type Role = CompanyRole | StaffRole;

/** The one table of who may do what; a permission that is not named here is refused. */
const TABLE: Readonly<Record<Role, readonly Permission[]>> = {
  owner: [...OWN, ...COMPANY_READS, ...COMPANY_WRITES, ...COMPANY_SAFETY, ...COMPANY_WHOLE],
  admin: [...OWN, ...COMPANY_READS, ...COMPANY_WRITES.filter((permission) => permission !== 'kyc:reveal'), ...COMPANY_SAFETY],
  operations: [
    ...OWN,
    ...COMPANY_READS,
    'locations:write',
    'products:write',
    'stock:write',
    'coupons:write',
    'carts:write',
    'orders:write',
    'imports:write',
    'payments:write',
    'quotes:write',
    'shipments:write',
    'scans:write',
    'ndr:write',
    'returns:write',
    'disputes:write',
  ],
  finance: [...OWN, ...COMPANY_READS, 'payments:write', 'wallet:write', 'disputes:write'],
  viewer: [...OWN, ...COMPANY_READS],
  operator: [
    ...OWN,
    'couriers:read',
    'admin:companies',
    'admin:users',
    'admin:kyc',
    'admin:disputes',
    'admin:sessions',
    'admin:addresses',
    'admin:payments',
    'admin:jobs',
    'admin:checks',
    'admin:audit',
  ],
  platform_admin: [...OWN, 'couriers:read', 'rate-cards:read', 'rate-cards:write', 'zones:read', 'zones:write', 'imports:read', 'imports:write', ...STAFF],
};

/** What reaches beyond any location: a member who is limited to some locations lacks it, whatever his role. */
export const BEYOND_LOCATIONS: ReadonlySet<Permission> = new Set<Permission>(['members:write', 'api-keys:write', ...COMPANY_SAFETY, ...COMPANY_WHOLE]);

const SETS = new Map<string, ReadonlySet<Permission>>(
  Object.entries(TABLE).map(([role, permissions]) => [role, new Set(permissions)]),
);
const LIMITED_SETS = new Map<string, ReadonlySet<Permission>>(
  Object.entries(TABLE).map(([role, permissions]) => [role, new Set(permissions.filter((permission) => !BEYOND_LOCATIONS.has(permission)))]),
);
const NOTHING: ReadonlySet<Permission> = new Set();

/** What a role may do; an unknown role may do nothing. `limited`: to some locations. The set is shared: do not change it. */
export function permissionsOf(role: string, limited = false): ReadonlySet<Permission> {
  return (limited ? LIMITED_SETS : SETS).get(role) ?? NOTHING;
}

/** What an API key may carry: daily work, never members, keys, KYC, or anything of our staff. */
export const SCOPES = [
  'company:read',
  'locations:read',
  'products:read',
  'products:write',
  'stock:read',
  'stock:write',
  'coupons:read',
  'coupons:write',
  'carts:read',
  'carts:write',
  'orders:read',
  'orders:write',
  'imports:read',
  'imports:write',
  'payments:read',
  'payments:write',
  'rates:read',
  'quotes:read',
  'quotes:write',
  'rate-cards:read',
  'zones:read',
  'couriers:read',
  'shipments:read',
  'shipments:write',
  'scans:write',
  'tracking:read',
  'ndr:read',
  'ndr:write',
  'returns:read',
  'returns:write',
  'wallet:read',
  'remittances:read',
  'analytics:read',
] as const satisfies readonly Permission[];

export type Scope = (typeof SCOPES)[number];

const SCOPE_SET: ReadonlySet<string> = new Set(SCOPES);

/** True for a permission that an API key may carry. */
export function isScope(value: unknown): value is Scope {
  return typeof value === 'string' && SCOPE_SET.has(value);
}

/** True for one of the roles, of companies or of our staff. */
export function isRole(value: unknown): value is Role {
  return typeof value === 'string' && SETS.has(value);
}
