import { BEYOND_LOCATIONS, COMPANY_ROLES, PERMISSIONS, SCOPES, STAFF_ROLES, isScope, permissionsOf } from '../../src/platform/permissions.ts';

/** Where `openapi` writes the page. */
export const ROLE_PAGE = 'docs/api/roles.md';

/** The page of roles, permissions and scopes as markdown; made from permissions.ts alone, so the same code gives the same text. */
export function rolePage(): string {
  const roles = [...COMPANY_ROLES, ...STAFF_ROLES];
  const mark = (yes: boolean): string => (yes ? '●' : '');
  const rows = PERMISSIONS.map((permission) => {
    const cells = roles.map((role) => mark(permissionsOf(role).has(permission)));
    return `| \`${permission}\` | ${[...cells, mark(isScope(permission))].join(' | ')} |`;
  });
  return [
    '# Roles and permissions',
    '',
    'Made from `src/platform/permissions.ts` by `npm run -s dakiya -- openapi`; a test compares it. In openapi.json every route',
    'names its permission as `x-permission`: `public` needs no sign-in, `signedIn` any signed-in person. A member who is limited',
    'to some locations sees and changes only what belongs to them, and lacks what reaches beyond any location, whatever the role:',
    `${[...BEYOND_LOCATIONS].map((permission) => `\`${permission}\``).join(', ')}. Another company’s rows answer 404, never 403.`,
    '',
    `Company roles: ${COMPANY_ROLES.join(', ')}. Our staff: ${STAFF_ROLES.join(', ')}. The last column says which of them an API key`,
    `may carry as a scope (${SCOPES.length} of ${PERMISSIONS.length}); nobody can give a key or a member what they may not do themselves.`,
    '',
    `| permission | ${roles.join(' | ')} | API key |`,
    `|---|${':-:|'.repeat(roles.length + 1)}`,
    ...rows,
    '',
  ].join('\n');
}
