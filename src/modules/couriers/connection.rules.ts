import { makeFaults } from '../../platform/faults.ts';

/** What a connection of each courier is made of; a name that ends in `?` may be left out. */
export const CREDENTIAL_KEYS: Readonly<Record<string, readonly string[]>> = {
  delhivery: ['token'],
  shiprocket: ['email', 'password'],
  bluedart: ['licenceKey', 'loginId'],
  xpressbees: ['email', 'password'],
  shadowfax: ['token'],
  ekart: ['clientId', 'username', 'password'],
  dtdc: ['apiKey', 'username', 'password'],
  ecomexpress: ['username', 'password'],
  clickpost: ['username', 'key'],
  sandbox: ['seed?'],
};

/** Every courier that a connection can be made for. */
export const COURIERS = Object.keys(CREDENTIAL_KEYS);

/** The header in which a courier sends the token of its connection. */
export const WEBHOOK_HEADER = 'x-dakiya-token';

export type ConnectionMode = 'sandbox' | 'live';

export interface ConnectionInput {
  courier: string;
  name?: string;
  mode: ConnectionMode;
  credentials?: Record<string, string>;
}

export type ConnectionChange = Partial<Pick<ConnectionInput, 'name' | 'mode' | 'credentials'>>;

/** A connection's fields as they are stored; 400 naming the unknown courier, every unknown, empty and missing credential. */
export function normalizeConnection(input: ConnectionInput): Required<ConnectionInput> {
  const faults = makeFaults();
  const courier = input.courier.trim().toLowerCase();
  if (!(courier in CREDENTIAL_KEYS)) faults.add('courier', `must be one of ${COURIERS.join(', ')}`);
  if (courier === 'sandbox' && input.mode === 'live') faults.add('mode', 'the sandbox courier has no live mode');
  const credentials = readCredentials(courier, input.credentials ?? {}, faults.add);
  faults.throwIfAny();
  const name = input.name?.trim() ?? '';
  return { courier, name: name === '' ? courier : name, mode: input.mode, credentials };
}

function readCredentials(courier: string, given: Record<string, string>, fault: (path: string, message: string) => void): Record<string, string> {
  const keys = CREDENTIAL_KEYS[courier];
  if (!keys) return {};
  const known = new Set(keys.map((key) => key.replace('?', '')));
  for (const key of Object.keys(given)) if (!known.has(key)) fault(`credentials.${key}`, `is not a credential of ${courier}`);
  const read: Record<string, string> = {};
  for (const key of keys) {
    const name = key.replace('?', '');
    const value = Object.hasOwn(given, name) ? (given[name] ?? '').trim() : '';
    if (value !== '') read[name] = value;
    else if (!key.endsWith('?')) fault(`credentials.${name}`, 'is needed');
  }
  return read;
}
