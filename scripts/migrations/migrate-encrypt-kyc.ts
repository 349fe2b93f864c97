import { loadPincodeTable, lookupPincode } from '../../src/modules/pincodes/index.ts';
import { overallStatus, type Documents } from '../../src/modules/kyc/index.ts';
import type { KycStatus } from '../../src/modules/companies/index.ts';
import { seal } from '../../src/platform/db/sealed.ts';
import { present } from '../../src/platform/present.ts';
import { database } from '../../src/platform/db/connect.ts';
import type { RowFault } from './migration.ts';
import { at, type LegacyField } from './runner/legacy-values.ts';
import { legacyRows, ourTimes, text, when } from './runner/rows.ts';
import { takeover, type Help, type LegacyDoc, type OurRow, type Takeover } from './runner/takeover.ts';

const PAN: LegacyField = { path: 'documents.pan.number', looks: /^\s*[A-Za-z]{5}\d{4}[A-Za-z]\s*$/ };
const AADHAAR: LegacyField = { path: 'documents.aadhaar.number', looks: /^\s*\d{4}[ -]?\d{4}[ -]?\d{4}\s*$/ };
const ACCOUNT: LegacyField = { path: 'documents.bankAccount.accountNumber', looks: /^\s*\d{6,20}\s*$/ };
const STATUSES: Readonly<Record<string, KycStatus>> = { verified: 'verified', rejected: 'rejected', pending: 'submitted' };
const COMPANY_STATUSES: Readonly<Record<string, string>> = { suspended: 'suspended', closed: 'closed' };

/** What a person had proved, in clear and in our form. */
interface Proved {
  pan?: string;
  aadhaar?: string;
  bankAccount?: { accountNumber: string; ifsc: string; holderName: string };
  documents: Documents;
  status: KycStatus;
}

/** Also what the benchmark compares with a plain rewrite of the same rows. */
export const kycTakeover: Takeover = {
  name: 'migrate-encrypt-kyc',
  reason: 'PAN, Aadhaar and bank accounts stood in clear or in cipher text that could be moved between rows; they are sealed, the Aadhaar number in its vault.',
  sources: ['companies', 'kycs'],
  targets: ['companies', 'kycs', 'aadhaar_vault'],
  fields: { kycs: [PAN, AADHAAR, ACCOUNT] },
  lookups: ['kycs.companyId', 'users.companyId'],
  inspect: (collection, doc) => (collection === 'kycs' ? inspectKyc(doc) : []),
  convert: (collection, docs, help) => (collection === 'companies' ? convertCompanies(docs, help) : convertKycs(docs, help)),
};

export const encryptKyc = takeover(kycTakeover);

function inspectKyc(doc: LegacyDoc): RowFault[] {
  const id = doc._id.toHexString();
  return ['companyId', 'userId'].flatMap((field) => (/^[0-9a-f]{24}$/.test(String(doc[field])) ? [] : [{ collection: 'kycs', id, field, why: 'names nobody' }]));
}

async function convertCompanies(docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>> {
  const ids = docs.map(({ _id }) => _id);
  const [people, kycs] = await Promise.all([peopleOf(ids), legacyRows('kycs', { companyId: { $in: ids } })]);
  const mains = mainKycs(kycs, people);
  const contacts = contactsOf(people);
  const companies = docs.map((doc): OurRow => {
    const id = doc._id.toHexString();
    const contact = contacts.get(id);
    const main = mains.get(id);
    return {
      _id: id,
      companyId: id,
      version: 1,
      name: text(doc['name'], 200) || 'Unnamed',
      email: seal(text(contact?.['email'], 254).toLowerCase() || 'unknown@legacy.invalid'),
      status: COMPANY_STATUSES[String(doc['status'])] ?? 'active',
      kycStatus: main ? proved(main, help).status : 'not_started',
      ...ourTimes(doc),
    };
  });
  return { companies };
}

function peopleOf(companyIds: readonly unknown[]): Promise<LegacyDoc[]> {
  return legacyRows('users', { companyId: { $in: companyIds } }, ['companyId', 'role', 'email', 'name']);
}

/** Whom to write to in each company: its first owner, else its first member. */
function contactsOf(people: readonly LegacyDoc[]): Map<string, LegacyDoc> {
  const contacts = new Map<string, LegacyDoc>();
  for (const person of people) {
    const company = String(person['companyId']);
    const known = contacts.get(company);
    if (!known || (known['role'] !== 'owner' && person['role'] === 'owner')) contacts.set(company, person);
  }
  return contacts;
}

/** The KYC that counts for each company: its owner's, else its oldest. */
function mainKycs(kycs: readonly LegacyDoc[], people: readonly LegacyDoc[]): Map<string, LegacyDoc> {
  const owners = new Set(people.filter((u) => u['role'] === 'owner').map((u) => String(u._id)));
  const mains = new Map<string, LegacyDoc>();
  for (const kyc of kycs) {
    const company = String(kyc['companyId']);
    const known = mains.get(company);
    if (!known || (!owners.has(String(known['userId'])) && owners.has(String(kyc['userId'])))) mains.set(company, kyc);
  }
  return mains;
}

async function convertKycs(docs: readonly LegacyDoc[], help: Help): Promise<Record<string, OurRow[]>> {
  const companyIds = docs.map((doc) => doc['companyId']);
  const [siblings, people, taken, table] = await Promise.all([
    legacyRows('kycs', { companyId: { $in: companyIds } }, ['companyId', 'userId']),
    peopleOf(companyIds),
    database().collection<{ _id: string; companyId: string }>('kycs').find({ companyId: { $in: companyIds.map(String) }, memberId: { $exists: false } } as never, { projection: { companyId: 1 } }).toArray(),
    loadPincodeTable(),
  ]);
  const mains = mainKycs(siblings, people);
  const done = new Set(taken.map((row) => row.companyId));
  const names = new Map(people.map((u) => [String(u._id), text(u['name'], 200)]));
  const made: Record<'kycs' | 'aadhaar_vault', OurRow[]> = { kycs: [], aadhaar_vault: [] };
  for (const doc of docs) {
    const companyId = String(doc['companyId']);
    const what = proved(doc, help);
    const own = !done.has(companyId) && mains.get(companyId)?._id.equals(doc._id) === true;
    const whose = own ? {} : { memberId: String(doc['userId']) };
    made.kycs.push(kycRow(doc, what, { whose, name: names.get(String(doc['userId'])) || 'Unknown', stateOf: (pin) => lookupPincode(table, pin)?.state ?? 'Unknown' }));
    if (what.aadhaar !== undefined) made.aadhaar_vault.push(vaultRow(doc, what.aadhaar, whose));
  }
  return made;
}

/** The clear values of a former KYC, and what its documents make of the whole. */
function proved(doc: LegacyDoc, help: Help): Proved {
  const pan = help.value(doc, PAN)?.trim().toUpperCase();
  const aadhaar = help.value(doc, AADHAAR)?.replace(/\D/g, '');
  const accountNumber = help.value(doc, ACCOUNT)?.trim();
  const bank = at(doc, 'documents.bankAccount');
  const bankAccount = accountNumber === undefined ? undefined : { accountNumber, ifsc: text(at(bank, 'ifsc'), 20), holderName: text(at(bank, 'holderName'), 200) };
  const whole = STATUSES[String(doc['status'])] ?? 'in_progress';
  const savedAt = when(doc['updatedAt'] ?? doc['createdAt'], doc);
  const state = (verified: unknown) => ({
    status: verified === true ? ('verified' as const) : whole,
    revision: 1,
    savedAt,
    check: { state: verified === true ? ('matched' as const) : ('not_checked' as const), provider: 'former', at: savedAt },
  });
  const documents: Documents = {
    ...(pan === undefined ? {} : { pan: state(at(doc, 'documents.pan.verified')) }),
    ...(aadhaar === undefined ? {} : { aadhaar: state(at(doc, 'documents.aadhaar.verified')) }),
    ...(bankAccount === undefined ? {} : { bankAccount: state(at(bank, 'verified')) }),
  };
  const status = overallStatus(documents, whole, addressesOf(doc).length > 0);
  return present({ pan, aadhaar, bankAccount, documents, status });
}

function addressesOf(doc: LegacyDoc): Record<string, unknown>[] {
  const list = doc['addresses'];
  return Array.isArray(list) ? (list as Record<string, unknown>[]).slice(0, 10) : [];
}

function linesOf(doc: LegacyDoc): string[] {
  return addressesOf(doc).map((a) => [text(a['line1'], 500), text(a['line2'], 500)].filter(Boolean).join(', '));
}

/** The company's own KYC, or that of one of its members. */
type Whose = { memberId?: string };

function kycRow(doc: LegacyDoc, what: Proved, { whose, name, stateOf }: { whose: Whose; name: string; stateOf(pincode: string): string }): OurRow {
  const times = ourTimes(doc);
  const addresses = addressesOf(doc).map((a) => {
    const pincode = text(a['pincode'], 10) || '000000';
    return { kind: 'registered', city: text(a['city'], 100) || 'Unknown', state: text(a['state'], 100) || stateOf(pincode), pincode };
  });
  return {
    _id: doc._id.toHexString(),
    companyId: String(doc['companyId']),
    version: 1,
    ...whose,
    status: what.status,
    statusChangedAt: times.updatedAt,
    ...(what.status === 'submitted' ? { submittedAt: times.updatedAt } : {}),
    addresses,
    documents: what.documents,
    files: [],
    ...(what.pan === undefined ? {} : { pan: seal({ number: what.pan, name }) }),
    ...(what.bankAccount === undefined ? {} : { bankAccount: seal(what.bankAccount) }),
    ...(what.aadhaar === undefined ? {} : { aadhaar: { reference: doc._id.toHexString(), lastFour: what.aadhaar.slice(-4) } }),
    ...(addresses.length === 0 ? {} : { addressLines: seal(linesOf(doc)) }),
    ...times,
  };
}

/** Taken-up numbers stay in the vault: nobody can ask these people for them again on our word alone. */
function vaultRow(doc: LegacyDoc, aadhaar: string, whose: Whose): OurRow {
  const times = ourTimes(doc);
  const verified = at(doc, 'documents.aadhaar.verified') === true;
  return {
    _id: doc._id.toHexString(),
    companyId: String(doc['companyId']),
    version: 1,
    ...whose,
    lastFour: aadhaar.slice(-4),
    keep: true,
    number: seal(aadhaar),
    consents: [],
    ...(verified ? { verification: { state: 'matched', provider: 'former', at: times.updatedAt } } : {}),
    ...times,
  };
}
