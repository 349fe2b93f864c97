import { strict as assert } from 'node:assert';
import { createServer, type Server } from 'node:net';
import mongoose from 'mongoose';
import { requireMayReceiveMoney } from '../../src/modules/companies/index.ts';
import { createOperator } from '../../src/modules/identity/index.ts';
import { kycs } from '../../src/modules/kyc/kyc.model.ts';
import { kycSchedules } from '../../src/modules/kyc/kyc.jobs.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { destroyKeys } from '../../src/platform/db/keyring.ts';
import { seal } from '../../src/platform/db/sealed.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { newId } from '../../src/platform/ids.ts';
import { useRuntime, runtime } from '../../src/platform/runtime.ts';
import { aadhaarOf, gstinOf, jpeg, panOf, pdf, png } from '../support/kyc.ts';
import { until } from '../support/process.ts';
import { book, fund, makeOrder } from '../support/shipping.ts';
import { PASSWORD, race, startWorld, type Answer, type Merchant, type World } from '../support/world.ts';

type Raw = { _id: string } & Record<string, unknown>;

const DAY_MS = 86_400_000;
const PAN = { number: panOf('1234'), name: 'Kanarese Canaryson', holderType: 'individual', dateOfBirth: '1990-01-31' };
const SWIFT_CARD = {
  ...{ name: 'Own surface', courier: 'swift', service: 'surface', mode: 'surface', divisor: 5000, minGrams: 500, maxGrams: 20_000, maxCodPaise: 5_000_000 },
  tiers: [{ uptoGrams: null, stepGrams: 500, paise: { A: 1000, B: 2000, C: 3000, D: 4000, E: 5000 } }],
  ...{ rto: { kind: 'percent', bp: 5000 }, fuelBp: 0, cod: { flatPaise: 2000, bp: 100 }, codRefundOnRto: true, oda: { flatPaise: 7000, perKgPaise: 100 }, gstBp: 1800 },
};
const BANK = { accountNumber: '771234567812', ifsc: 'HDFC0000001', holderName: 'Kanarese Canaryson' };
const AADHAAR = aadhaarOf('23456789012');

describe('KYC', () => {
  let world: World;
  let operator: string;
  let shop: Merchant;

  before(async () => {
    world = await startWorld({ ACCESS_TOKEN_SECONDS: '86400', KYC_PROVIDER_TIMEOUT_MS: '400' });
    const email = 'reviewer@staff.example.in';
    await createOperator(systemCtx('test', PLATFORM_COMPANY_ID), { email, name: 'Meera Nair', role: 'operator', password: PASSWORD });
    operator = (await world.api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } })).body.accessToken;
    shop = await world.merchant({ location: false });
    await world.settle();
  });
  after(async () => {
    await world.checks().finally(() => world.close());
  });

  const put = (what: string, body: object, who = shop): Promise<Answer> => world.api('PUT', `/v1/kyc/${what}`, { token: who.token, body });
  const kyc = async (who = shop): Promise<Answer['body']> => (await world.api('GET', '/v1/kyc', { token: who.token })).body;
  const submit = (who = shop): Promise<Answer> => world.api('POST', '/v1/kyc/submit', { token: who.token, body: {} });
  const decide = (who: Merchant, document: string, decision: string, more: object = {}): Promise<Answer> =>
    world.api('POST', `/v1/admin/kyc/${who.companyId}/decisions`, { token: operator, body: { document, decision, reason: 'Looked at the papers', ...more } });
  const good = async (answer: Promise<Answer>, status = 200): Promise<Answer['body']> => {
    const { status: got, body } = await answer;
    assert.equal(got, status, JSON.stringify(body));
    return body;
  };
  const refused = async (answer: Promise<Answer>, status: number, code: string): Promise<Answer['body']> => {
    const { status: got, body } = await answer;
    assert.deepEqual([got, body.error?.code], [status, code], JSON.stringify(body));
    return body.error;
  };
  const companyStatus = async (who: Merchant): Promise<string[]> => {
    const user = await world.db.collection<Raw>('users').findOne({ _id: who.userId });
    return [(await world.api('GET', '/v1/company', { token: who.token })).body.kycStatus, String(user?.['kycStatus'])];
  };
  /** A further company with PAN and bank account saved, and submitted when wished. */
  const another = async (submitted = true, numbers: { pan?: string; account?: string } = {}): Promise<Merchant> => {
    const who = await world.merchant({ location: false });
    await good(put('pan', { ...PAN, number: numbers.pan ?? PAN.number }, who));
    await good(put('bank-account', { ...BANK, accountNumber: numbers.account ?? BANK.accountNumber }, who));
    if (submitted) await good(submit(who));
    return who;
  };
  const upload = (file: Buffer | undefined, fields: Record<string, string> = { document: 'pan' }, name = 'pan.pdf', who = shop): Promise<Answer> => {
    const form = new FormData();
    for (const [key, value] of Object.entries(fields)) form.set(key, value);
    if (file) form.set('file', new Blob([new Uint8Array(file)]), name);
    return world.api('POST', '/v1/kyc/documents', { token: who.token, raw: form });
  };
  const storedFiles = (): Promise<number> => world.db.collection('uploads.files').countDocuments({ 'metadata.purpose': 'kyc' });
  const runSchedule = async (name: string): Promise<void> => {
    const schedule = kycSchedules.find((s) => s.name === name) ?? assert.fail(name);
    await schedule.run(systemCtx(`schedule:${name}`, PLATFORM_COMPANY_ID));
    await world.settle();
  };
  const withConfig = async (change: object, act: () => Promise<void>): Promise<void> => {
    const before = runtime();
    useRuntime({ ...before, config: { ...before.config, ...change } });
    try {
      await act();
    } finally {
      useRuntime(before);
    }
  };

  it('what a member brought from the former product stands beside the company’s own KYC and never in its place', async () => {
    const who = await world.merchant({ location: false });
    const state = { status: 'submitted' as const, revision: 1, savedAt: new Date(), check: { state: 'not_checked' as const, provider: 'former', at: new Date() } };
    const brought = await withTransaction(systemCtx('test', who.companyId), async (ctx) =>
      kycs.insert(ctx, { _id: newId(), memberId: who.userId, status: 'submitted', statusChangedAt: new Date(), addresses: [], documents: { pan: state }, files: [], pan: seal({ number: panOf('9876'), name: 'Ravi Iyer' }) }),
    );
    assert.equal((await kyc(who)).id, null);
    await refused(world.api('POST', '/v1/kyc/reveal', { token: who.token, body: { field: 'pan', reason: 'A test of whose it is' } }), 404, 'kyc_document_not_found');
    await good(put('pan', PAN, who));
    assert.equal((await kyc(who)).documents.pan.number, 'XXXXXX234F');
    const listed = await good(world.api('GET', '/v1/admin/kyc?status=submitted', { token: operator }));
    assert.deepEqual(listed.data.map((one: { id: string; memberId: string }) => [one.id, one.memberId]), [[brought._id, who.userId]]);
    await good(world.api('POST', `/v1/admin/kyc/${brought._id}/decisions`, { token: operator, body: { document: 'pan', decision: 'verified' } }));
    const reviewed = await good(world.api('GET', `/v1/admin/kyc/${brought._id}`, { token: operator }));
    assert.deepEqual([reviewed.status, reviewed.history.length], ['in_progress', 1]);
    assert.deepEqual(await companyStatus(who), ['in_progress', 'in_progress']);
    assert.equal((await kyc(who)).documents.pan.status, 'in_progress');
  });

  describe('documents', () => {
    it('begins empty and says what is missing', async () => {
      const body = await kyc();
      assert.deepEqual([body.status, body.id, body.missing, body.documents.pan], ['not_started', null, ['pan', 'bankAccount'], { status: 'not_started' }]);
      assert.match(body.aadhaarConsent.text, /own will/);
      await refused(submit(), 409, 'kyc_incomplete');
      assert.equal((await kyc()).id, null, 'a refused submission begins nothing');
    });

    it('R7 answers with masks only, in any spelling of the number', async () => {
      const body = await good(put('pan', { ...PAN, number: ` ${PAN.number.toLowerCase()} ` }));
      assert.deepEqual([body.status, body.documents.pan.number, body.documents.pan.name], ['in_progress', 'XXXXXX234F', 'K*** C***']);
      await good(put('gstin', { number: gstinOf(PAN.number) }));
      await good(put('bank-account', { ...BANK, accountNumberConfirm: BANK.accountNumber }));
      await good(put('addresses', { addresses: [{ kind: 'registered', line1: '7 Canary Wharf', city: 'Pune', state: 'Maharashtra', pincode: '411001' }] }));
      const whole = JSON.stringify(await good(put('aadhaar', { number: AADHAAR, consent: true })));
      for (const secret of [PAN.number, BANK.accountNumber, AADHAAR, 'Canary', '1990-01-31']) assert.ok(!whole.includes(secret), secret);
      assert.deepEqual(await companyStatus(shop), ['in_progress', 'in_progress']);
    });

    it('refuses what is wrong, naming the field and never the value', async () => {
      const cases: [string, object, string][] = [
        ['pan', { ...PAN, number: 'ABCCE1234F' }, 'number'],
        ['pan', { ...PAN, holderType: 'person' }, 'holderType'],
        ['gstin', { number: gstinOf(panOf('5678')) }, 'number'],
        ['aadhaar', { number: '234567890125', consent: true }, 'number'],
        ['aadhaar', { number: AADHAAR, consent: false }, 'consent'],
        ['bank-account', { ...BANK, accountNumberConfirm: '771234567813' }, 'accountNumberConfirm'],
        ['bank-account', { ...BANK, ifsc: 'ZZZZ0000001' }, 'ifsc'],
        ['pan', { ...PAN, verified: true }, 'verified'],
        ['pan', { ...PAN, number: { $ne: '' } }, 'number'],
        ['pan', { ...PAN, number: 'A'.repeat(65) }, 'number'],
      ];
      for (const [what, body, path] of cases) {
        const error = await refused(put(what, body), 400, 'validation_failed');
        assert.deepEqual(error.details.fields.map((f: { path: string }) => f.path), [path], what);
        const number = (body as { number?: unknown }).number;
        assert.ok(typeof number !== 'string' || !JSON.stringify(error).includes(number), 'the value is not repeated');
      }
    });

    it('A4 takes ten addresses through the API and not eleven', async () => {
      const address = { kind: 'business', line1: '1 MG Road', city: 'Pune', state: 'MH', pincode: '411001' };
      const of = (n: number) => put('addresses', { addresses: Array.from({ length: n }, () => address) });
      assert.equal((await good(of(10))).addresses.length, 10);
      const error = await refused(of(11), 400, 'validation_failed');
      assert.equal(error.details.fields[0].path, 'addresses');
      const row = await world.db.collection('kycs').findOne({ companyId: shop.companyId });
      await assert.rejects(world.db.collection('kycs').updateOne({ _id: row?._id }, { $push: { addresses: {} } } as never), { code: 121 }, 'the server refuses the eleventh as well');
    });

    it('the provider is asked by a job, and its word is evidence', async () => {
      await world.settle();
      const { documents } = await kyc();
      assert.deepEqual([documents.pan.check.state, documents.gstin.check.state, documents.bankAccount.check.state, documents.aadhaar.check.state], ['matched', 'matched', 'matched', 'matched']);
      assert.equal(documents.pan.status, 'in_progress', 'it decides nothing');
    });

    it('the same value again changes nothing', async () => {
      const before = await kyc();
      await good(put('pan', PAN));
      assert.equal((await kyc()).version, before.version);
    });

    it('another PAN puts the GSTIN in doubt', async () => {
      const who = await another(false);
      await good(put('gstin', { number: gstinOf(PAN.number) }, who));
      const body = await good(put('pan', { ...PAN, number: panOf('5678') }, who));
      assert.deepEqual([body.documents.gstin.status, body.status], ['needs_action', 'needs_action']);
      await good(put('gstin', { number: gstinOf(panOf('5678')) }, who));
      assert.equal((await kyc(who)).documents.gstin.status, 'in_progress');
    });

    it('20 beginners at once make one KYC', async () => {
      const who = await world.merchant({ location: false });
      const { statuses } = await race(20, (i) => put('pan', { ...PAN, number: panOf(String(1000 + i)) }, who));
      assert.deepEqual(Object.keys(statuses).filter((s) => s !== '200' && s !== '503'), []);
      assert.equal(await world.db.collection('kycs').countDocuments({ companyId: who.companyId }), 1);
    });
  });

  describe('what is stored', () => {
    it('R9 R10 sealed, Aadhaar in its vault and only its last four digits outside', async () => {
      const found: string[] = [];
      const secrets = [PAN.number, BANK.accountNumber, AADHAAR, 'Canaryson', 'Canary Wharf', '1990-01-31'];
      for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
        for await (const row of world.db.collection(name).find({})) {
          const text = JSON.stringify(row);
          for (const secret of secrets) if (text.includes(secret)) found.push(`${name}: ${secret}`);
        }
      }
      assert.deepEqual(found, []);
      assert.deepEqual(world.logLines.filter((line) => secrets.some((secret) => line.includes(secret))), []);
      const row = await world.db.collection('kycs').findOne({ companyId: shop.companyId });
      assert.deepEqual(Object.keys(row?.['aadhaar'] as object), ['reference', 'lastFour']);
      const entry = await world.db.collection('aadhaar_vault').findOne({ companyId: shop.companyId });
      assert.deepEqual([entry?._id, entry?.['number'], entry?.['lastFour']], [row?.['aadhaar'].reference, undefined, AADHAAR.slice(-4)], 'the number left with its check');
      const [consent] = entry?.['consents'] as Record<string, unknown>[];
      assert.deepEqual([consent?.['version'], consent?.['userId'], String(consent?.['addressHash']).length], ['2026-11', shop.userId, 43]);
    });

    it('R9 the same PAN in two companies is neither refused nor linkable, and finds its own record', async () => {
      const [a, b] = [await another(), await another()];
      const rows = await world.db.collection('kycs').find({ companyId: { $in: [a.companyId, b.companyId] } }).toArray();
      const [one, two] = rows.map((row) => ({ envelope: row['pan'] as string, blind: (row['blind'] as Record<string, string>)['pan'] }));
      assert.match(one?.envelope ?? '', /^e1\./);
      assert.notEqual(one?.envelope, two?.envelope);
      assert.ok(one?.blind && two?.blind && one.blind !== two.blind);
      const own = systemCtx('test', a.companyId);
      for (const spelling of [PAN.number, ` ${PAN.number.toLowerCase()} `, 'abc pe-1234 f']) {
        assert.equal((await kycs.findOne(own, kycs.blind(own, 'pan', spelling)))?.companyId, a.companyId, spelling);
      }
    });

    it('R2 clear text is refused by the server', async () => {
      const error = await world.db.collection('kycs').updateOne({ companyId: shop.companyId }, { $set: { gstin: gstinOf(PAN.number) } }).catch((e: unknown) => e);
      assert.equal((error as { code?: number }).code, 121);
    });
  });

  describe('the provider misbehaves', () => {
    const state = async (who: Merchant): Promise<string> => (await kyc(who)).documents.bankAccount.check.state;
    const jobs = () => world.db.collection('jobs').find({ name: 'kyc.verify', state: 'queued' }).toArray();
    const untilAnswered = async (who: Merchant): Promise<number> => {
      for (let rounds = 0; ; rounds += 1) {
        await world.settle();
        if ((await state(who)) !== 'pending') return rounds;
        assert.ok(rounds < 12, 'it ends');
        world.advance(3_600_000);
      }
    };
    const withAccount = (digits: string): Promise<Merchant> => another(false, { account: `77123456${digits}` });

    for (const [digits, end] of [['9001', 'mismatched'], ['9002', 'name_differs'], ['9003', 'matched'], ['9008', 'needs_check']] as const) {
      it(`${digits}: ${end} at the first call`, async () => {
        const who = await withAccount(digits);
        assert.deepEqual([await untilAnswered(who), await state(who)], [0, end]);
      });
    }

    for (const [digits, end, calls] of [['9004', 'matched', 2], ['9006', 'matched', 1], ['9005', 'unavailable', 7]] as const) {
      it(`${digits}: ${end} after ${calls} further calls with back-off`, async () => {
        const who = await withAccount(digits);
        assert.deepEqual([await untilAnswered(who), await state(who)], [calls, end]);
      });
    }

    it('9007: a call that hangs is given up and repeated', async () => {
      const who = await withAccount('9007');
      await world.settle();
      assert.equal(await state(who), 'pending');
      const [waiting] = await jobs();
      assert.match(JSON.stringify(waiting?.['log']), /did not answer in time/);
      await good(put('bank-account', BANK, who));
      assert.deepEqual([await untilAnswered(who), await state(who)], [0, 'matched']);
    });

    it('a result for a replaced number is ignored', async () => {
      const who = await withAccount('9004');
      await world.settle();
      await good(put('bank-account', { ...BANK, accountNumber: '771234569001' }, who));
      for (let i = 0; i < 4; i += 1) {
        world.advance(3_600_000);
        await world.settle();
      }
      assert.equal(await state(who), 'mismatched', 'the word about the second number stands');
      assert.equal((await jobs()).length, 0);
    });

    it('so is one that comes while the number is being replaced', async () => {
      const who = await withAccount('9003');
      const settled = world.settle();
      const running = { name: 'kyc.verify', companyId: who.companyId, 'payload.document': 'bankAccount', state: 'running' };
      await until('the provider is being asked', async () => (await world.db.collection('jobs').countDocuments(running)) > 0);
      await good(put('bank-account', { ...BANK, accountNumber: '771234569005' }, who));
      await settled;
      assert.equal(await state(who), 'pending', 'the slow "matched" was about the other number');
      await untilAnswered(who);
    });

    it('an account of another holder and an unknown branch are told', async () => {
      const who = await another(false);
      await good(put('bank-account', { ...BANK, ifsc: 'HDFC0ZZZZZZ', holderName: 'Ravi Iyer' }, who));
      await world.settle();
      const { check } = (await kyc(who)).documents.bankAccount;
      assert.equal(check.state, 'needs_check');
      assert.match(check.note, /branch .* not in our list.*another one than the name on the PAN/);
    });
  });

  describe('review', () => {
    it('is for our staff, masks included', async () => {
      assert.equal((await world.api('GET', '/v1/admin/kyc', { token: shop.token })).status, 403);
      const finance = await world.member(shop, 'finance');
      assert.equal((await world.api('PUT', '/v1/kyc/pan', { token: finance, body: PAN })).status, 403);
      assert.equal((await world.api('GET', '/v1/kyc', { token: finance })).status, 200);
      assert.equal((await world.api('GET', '/v1/kyc', { token: operator })).status, 403);
    });

    it('A6 a decision moves KYC, company and owner, and the owner gets a mail', async () => {
      const who = await another();
      assert.deepEqual(await companyStatus(who), ['submitted', 'submitted']);
      await refused(decide(who, 'gstin', 'verified'), 409, 'document_not_reviewable');
      await good(decide(who, 'pan', 'verified'));
      assert.deepEqual(await companyStatus(who), ['submitted', 'submitted']);
      const body = await good(decide(who, 'bankAccount', 'verified'));
      assert.equal(body.status, 'verified');
      assert.deepEqual(await companyStatus(who), ['verified', 'verified']);
      await world.settle();
      const { data } = (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(who.email)}`)).body;
      assert.ok(data.some((mail: { subject: string }) => /KYC of .*: verified/.test(mail.subject)));
      const shown = (await world.api('GET', `/v1/admin/kyc/${who.companyId}`, { token: operator })).body;
      assert.deepEqual(shown.history.slice(0, 2).map((h: { document: string; event: string; to: string }) => [h.document, h.event, h.to]), [['bankAccount', 'verified', 'verified'], ['pan', 'verified', 'verified']]);
    });

    it('a verified GSTIN decides the state of the tax', async () => {
      const who = await another(false);
      await good(put('gstin', { number: gstinOf(PAN.number, '29') }, who));
      await good(submit(who));
      await good(decide(who, 'gstin', 'verified'));
      const row = await world.db.collection<Raw>('companies').findOne({ _id: who.companyId });
      assert.equal(row?.['gstinState'], '29');
    });

    it('a refusal needs a reason, is told, and the document can be sent again', async () => {
      const who = await another();
      await refused(world.api('POST', `/v1/admin/kyc/${who.companyId}/decisions`, { token: operator, body: { document: 'pan', decision: 'rejected' } }), 400, 'validation_failed');
      const body = await good(decide(who, 'pan', 'rejected', { reason: 'The name cannot be read' }));
      assert.deepEqual([body.status, body.documents.pan.reason], ['rejected', 'The name cannot be read']);
      await refused(submit(who), 409, 'kyc_incomplete');
      await refused(decide(who, 'pan', 'verified'), 409, 'document_not_reviewable');
      await good(put('pan', PAN, who));
      assert.deepEqual([(await kyc(who)).documents.pan.reason, (await kyc(who)).status], [undefined, 'in_progress']);
      assert.equal((await good(submit(who))).status, 'submitted');
      await good(decide(who, 'pan', 'needs_action', { reason: 'Send a larger picture' }));
      assert.equal((await good(submit(who))).status, 'submitted', 'needs_action can be submitted again as it is');
    });

    it('A6 a value that the reviewer has not seen is not verified by him', async () => {
      const who = await another();
      const review = (): Promise<Answer> => world.api('GET', `/v1/admin/kyc/${who.companyId}`, { token: operator });
      const decideSeen = (document: string, ifMatch: number): Promise<Answer> =>
        world.api('POST', `/v1/admin/kyc/${who.companyId}/decisions`, { token: operator, ifMatch, body: { document, decision: 'verified', reason: 'Looked at the papers' } });
      const seen = (await good(review())).version;
      await good(put('bank-account', { ...BANK, accountNumber: '990011223344', holderName: 'Somebody Else' }, who));
      await good(submit(who));
      await refused(decideSeen('bankAccount', seen), 412, 'stale_version');
      await refused(decide(who, 'bankAccount', 'verified'), 428, 'precondition_required');
      assert.equal((await kyc(who)).documents.bankAccount.status, 'submitted');
      const again = (await good(review())).version;
      await world.settle();
      await good(decideSeen('pan', seen));
      assert.equal((await good(decideSeen('bankAccount', again))).documents.bankAccount.status, 'verified', 'what the provider says meanwhile is no other value');
      await good(put('bank-account', BANK, who));
      await good(submit(who));
      await good(decide(who, 'bankAccount', 'verified'));
    });

    it('A6 of 20 decisions at once one counts', async () => {
      const who = await another();
      const words = ['verified', 'rejected', 'needs_action'] as const;
      const { answers, statuses } = await race(20, (i) => decide(who, 'pan', words[i % 3] ?? 'verified'));
      assert.deepEqual(statuses, { 200: 1, 409: 19 });
      assert.ok(answers.every((a) => a.status === 200 || a.body.error.code === 'document_not_reviewable'));
      assert.equal(await world.db.collection('kyc_events').countDocuments({ companyId: who.companyId, document: 'pan', byKind: 'operator' }), 1);
    });

    it('a verification can be taken back, on purpose only', async () => {
      const who = await another();
      await good(decide(who, 'pan', 'verified'));
      await good(decide(who, 'bankAccount', 'verified'));
      await refused(decide(who, 'pan', 'needs_action'), 409, 'document_not_reviewable');
      await refused(decide(who, 'pan', 'rejected', { withdraw: true }), 409, 'document_not_reviewable');
      await good(decide(who, 'pan', 'needs_action', { withdraw: true }));
      assert.deepEqual(await companyStatus(who), ['needs_action', 'needs_action']);
    });

    it('lists the queue by status with the same number of commands, whatever its length', async () => {
      const list = (query: string) => world.api('GET', `/v1/admin/kyc${query}`, { token: operator });
      await list('');
      world.commands();
      assert.equal((await list('?limit=1')).body.data.length, 1);
      const one = world.commands();
      assert.ok((await list('')).body.data.length > 10);
      assert.equal(world.commands(), one);
      const { data } = (await list('?status=submitted')).body;
      assert.ok(data.length >= 1);
      assert.ok(data.every((k: { status: string; companyName: string }) => k.status === 'submitted' && k.companyName.startsWith('Shop')));
      const seen: string[] = [];
      for (let cursor = ''; ; ) {
        const page = (await list(`?limit=2${cursor && `&cursor=${cursor}`}`)).body;
        seen.push(...page.data.map((k: { id: string }) => k.id));
        if (page.nextCursor === null) break;
        cursor = page.nextCursor;
      }
      assert.deepEqual([new Set(seen).size, seen.length], [seen.length, await world.db.collection('kycs').countDocuments()]);
      assert.equal((await list('?status=odd')).status, 400);
      assert.equal((await world.api('GET', '/v1/admin/kyc/0123456789abcdef01234567', { token: operator })).status, 404);
    });

    it('a verification ends after its time, and says so', async () => {
      const who = await another();
      await good(decide(who, 'pan', 'verified'));
      await good(decide(who, 'bankAccount', 'verified'));
      world.advance(731 * DAY_MS);
      // Sessions have ended by now as well: the raw rows are looked at.
      await runSchedule('kyc.expire');
      const row = await world.db.collection('kycs').findOne({ companyId: who.companyId });
      const company = await world.db.collection<Raw>('companies').findOne({ _id: who.companyId });
      assert.deepEqual([row?.['status'], company?.['kycStatus'], row?.['expiresAt']], ['needs_action', 'needs_action', undefined]);
      const mails = (await world.api('GET', `/dev/mailbox?to=${encodeURIComponent(who.email)}`)).body.data;
      assert.ok(mails.some((mail: { text: string }) => /verification has ended/.test(mail.text)));
      world.advance(-731 * DAY_MS);
    });

    it('A6 both or neither, whatever the database does between the writes', async () => {
      const who = await another();
      await good(decide(who, 'pan', 'verified'));
      const admin = mongoose.connection.db?.admin() ?? assert.fail();
      const failFrom = (nth: number, command: string) => admin.command({ configureFailPoint: 'failCommand', mode: { skip: nth - 1 }, data: { failCommands: [command], errorCode: 8 } });
      const states = async (): Promise<unknown[]> => {
        const row = await world.db.collection('kycs').findOne({ companyId: who.companyId });
        return [row?.['status'], row?.['documents'].bankAccount.status, ...(await companyStatus(who))];
      };
      // The KYC, its company and its owners are written in this order; then come mail, history, audit, outbox, and the commit.
      const between: [number, string][] = [[1, 'findAndModify'], [2, 'findAndModify'], [1, 'update'], [1, 'insert'], [2, 'insert'], [3, 'insert'], [1, 'commitTransaction']];
      for (const [nth, command] of between) {
        await failFrom(nth, command);
        const { status } = await decide(who, 'bankAccount', 'verified').finally(() => admin.command({ configureFailPoint: 'failCommand', mode: 'off' }));
        assert.deepEqual([status, ...(await states())], [500, 'submitted', 'submitted', 'submitted', 'submitted'], `${command} ${nth}`);
      }
      await good(decide(who, 'bankAccount', 'verified'));
      assert.deepEqual(await states(), ['verified', 'verified', 'verified', 'verified']);
    });
  });

  describe('gates', () => {
    it('money is received only after verification, with a real provider', async () => {
      const who = await another();
      const ctx = systemCtx('test', who.companyId);
      await assert.rejects(requireMayReceiveMoney(ctx), { code: 'kyc_required' });
      await good(decide(who, 'pan', 'verified'));
      await good(decide(who, 'bankAccount', 'verified'));
      await requireMayReceiveMoney(ctx);
      const unverified = await world.merchant({ location: false, verified: false });
      await assert.rejects(requireMayReceiveMoney(systemCtx('test', unverified.companyId)), { code: 'email_not_verified' });
    });
  });

  describe('booking', () => {
    it('goes to a real courier only after verification, and stops when it is taken back', async () => {
      const who = await world.merchant();
      await fund(world, who);
      const card = await good(world.api('POST', '/v1/rate-cards', { token: who.token, body: SWIFT_CARD }), 201);
      await good(world.api('PUT', `/v1/rate-cards/${card.id}/activate`, { token: who.token, ifMatch: card.version }));
      const swift = async (awb: string): Promise<Answer> => book(world, who, { orderId: (await makeOrder(world, who)).id, courier: 'swift', service: 'surface', awb });
      await refused(swift('SWIFT00001'), 403, 'kyc_required');
      await good(book(world, who, { orderId: (await makeOrder(world, who)).id, courier: 'sandbox' }), 201);
      await good(put('pan', PAN, who));
      await good(put('bank-account', BANK, who));
      await good(submit(who));
      await refused(swift('SWIFT00002'), 403, 'kyc_required');
      await good(decide(who, 'pan', 'verified'));
      await good(decide(who, 'bankAccount', 'verified'));
      await good(swift('SWIFT00003'), 201);
      await good(decide(who, 'pan', 'needs_action', { withdraw: true }));
      await refused(swift('SWIFT00004'), 403, 'kyc_required');
      await world.settle();
    });
  });

  describe('reveal', () => {
    const reveal = (field: string, reason = 'A customer asked for the invoice', token = shop.token): Promise<Answer> => world.api('POST', '/v1/kyc/reveal', { token, body: { field, reason } });

    it('R8 shows the value to an owner with a reason, and notes it', async () => {
      const body = await good(reveal('pan'));
      assert.deepEqual(body, { field: 'pan', value: PAN.number, name: PAN.name, dateOfBirth: PAN.dateOfBirth });
      assert.equal((await good(reveal('gstin'))).value, gstinOf(PAN.number));
      assert.deepEqual(await good(reveal('bankAccount')), { field: 'bankAccount', value: BANK.accountNumber, ifsc: BANK.ifsc, holderName: BANK.holderName });
      const audit = (await world.api('GET', '/v1/audit-log?collection=kyc_reveals', { token: shop.token })).body.data;
      assert.equal(audit.length, 3);
      const rows = await world.db.collection('kyc_reveals').find({ companyId: shop.companyId }).toArray();
      assert.ok(rows.every((row) => row['byId'] === shop.userId && row['reason'] === 'A customer asked for the invoice'));
      assert.equal(await world.db.collection('security_events').countDocuments({ companyId: shop.companyId, type: 'security.reveal' }), 3);
    });

    it('R8 refuses without permission, without a reason, and what is not there', async () => {
      const admin = await world.member(shop, 'admin');
      await refused(reveal('pan', 'A customer asked for it', admin), 403, 'forbidden');
      await refused(reveal('pan', '  x   '), 400, 'validation_failed');
      await refused(reveal('pan', 'x'.repeat(201)), 400, 'validation_failed');
      await refused(reveal('holderName'), 400, 'validation_failed');
      const who = await world.merchant({ location: false });
      await refused(reveal('pan', 'A customer asked for it', who.token), 404, 'kyc_document_not_found');
      const before = await world.db.collection('kyc_reveals').countDocuments({ companyId: shop.companyId });
      assert.equal(before, 3, 'a refusal leaves no row');
    });

    it('R10 an Aadhaar number is not kept, unless the company must', async () => {
      await refused(reveal('aadhaar'), 409, 'not_kept');
      const who = await world.merchant({ location: false });
      await withConfig({ kycKeepAadhaarFor: who.companyId }, async () => {
        await good(put('aadhaar', { number: AADHAAR, consent: true }, who));
        await refused(world.api('POST', '/v1/kyc/reveal', { token: shop.token, body: { field: 'aadhaar', reason: 'Another company keeps it' } }), 409, 'not_kept');
      });
      await world.settle();
      assert.equal((await good(reveal('aadhaar', 'The law asks us for it', who.token))).value, AADHAAR);
      const entry = await world.db.collection('aadhaar_vault').findOne({ companyId: who.companyId });
      assert.match(String(entry?.['number']), /^e1\./);
    });

    it('R10 a number whose check never ends leaves after a day', async () => {
      const who = await world.merchant({ location: false });
      await good(put('aadhaar', { number: AADHAAR, consent: true }, who));
      await world.db.collection('jobs').deleteMany({ name: 'kyc.verify' });
      await refused(reveal('aadhaar', 'The law asks us for it', who.token), 409, 'not_kept');
      world.advance(DAY_MS + 60_000);
      await runSchedule('kyc.empty_vault');
      world.advance(-DAY_MS - 60_000);
      const entry = await world.db.collection('aadhaar_vault').findOne({ companyId: who.companyId });
      assert.deepEqual([entry?.['number'], entry?.['lastFour']], [undefined, AADHAAR.slice(-4)]);
    });
  });

  describe('files', () => {
    it('C4 keeps a file sealed, forgets its name, and gives it back', async () => {
      const added = await good(upload(pdf('/Canary (CANARYFILE)'), { document: 'pan' }, '../../etc/passwd<script>.exe'), 201);
      assert.deepEqual([added.document, added.contentType], ['pan', 'application/pdf']);
      const answer = await world.api('GET', `/v1/kyc/documents/${added.id}`, { token: shop.token });
      assert.deepEqual([answer.status, answer.bytes.equals(pdf('/Canary (CANARYFILE)'))], [200, true]);
      assert.equal(answer.headers.get('content-disposition'), `attachment; filename="kyc-pan-${added.id}.pdf"`);
      assert.deepEqual([answer.headers.get('x-content-type-options'), answer.headers.get('cache-control'), answer.headers.get('content-type')], ['nosniff', 'no-store', 'application/pdf']);
      for await (const row of world.db.collection('uploads.chunks').find({})) assert.ok(!row['data'].buffer.toString('latin1').includes('CANARYFILE'), 'sealed at rest');
      assert.ok(!JSON.stringify(await world.db.collection('uploads.files').find({}).toArray()).includes('passwd'));
      const listed = (await world.api('GET', '/v1/kyc/documents', { token: shop.token })).body;
      assert.deepEqual(listed.data.map((f: { id: string }) => f.id), [added.id]);
    });

    it('R35 refuses by content, and keeps nothing of it', async () => {
      const before = await storedFiles();
      const bad: [Buffer | undefined, Record<string, string>, number, string][] = [
        [Buffer.from('<svg onload=alert(1)>'), { document: 'pan' }, 415, 'unsupported_file'],
        [Buffer.concat([png(), Buffer.from('<script>')]), { document: 'pan' }, 415, 'unsupported_file'],
        [Buffer.alloc(0), { document: 'pan' }, 400, 'validation_failed'],
        [undefined, { document: 'pan' }, 400, 'validation_failed'],
        [pdf(), { document: '../pan' }, 400, 'validation_failed'],
        [pdf(), { document: 'pan', odd: '1' }, 400, 'validation_failed'],
      ];
      for (const [file, fields, status, code] of bad) await refused(upload(file, fields), status, code);
      await refused(world.api('POST', '/v1/kyc/documents', { token: shop.token, body: { document: 'pan' } }), 415, 'unsupported_media_type');
      await withConfig({ kycDocumentMaxBytes: 1_000 }, async () => {
        await refused(upload(Buffer.concat([pdf(), Buffer.alloc(2_000)])), 413, 'file_too_large');
      });
      assert.equal(await storedFiles(), before);
      assert.equal((await world.api('GET', '/v1/kyc/documents', { token: shop.token })).body.data.length, 1);
    });

    it('R35 stops an endless upload at the limit', async () => {
      let sent = 0;
      const boundary = 'x-endless';
      const stream = new ReadableStream<Uint8Array>({
        start: (c) => c.enqueue(Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n`)),
        pull(c) {
          if (sent >= 12_000_000) return c.close();
          sent += 65_536;
          c.enqueue(new Uint8Array(65_536));
        },
      });
      const answer = await fetch(`${world.url}/v1/kyc/documents`, { method: 'POST', headers: { authorization: `Bearer ${shop.token}`, 'content-type': `multipart/form-data; boundary=${boundary}` }, body: stream, duplex: 'half' } as RequestInit);
      assert.equal(answer.status, 413);
      await answer.text();
    });

    it('R31 another company\'s file is 404, and so is its removal', async () => {
      const added = await good(upload(jpeg(), { type: 'bankAccount' }, 'cheque.jpg'), 201);
      const who = await another(false);
      for (const method of ['GET', 'DELETE']) assert.equal((await world.api(method, `/v1/kyc/documents/${added.id}`, { token: who.token })).status, 404);
      assert.equal((await world.api('DELETE', `/v1/kyc/documents/${added.id}`, { token: shop.token })).status, 204);
      assert.equal((await world.api('GET', `/v1/kyc/documents/${added.id}`, { token: shop.token })).status, 404);
    });

    it('R8 a file shows the whole number, so it takes the right to reveal, and is noted', async () => {
      const who = await another(false);
      const added = await good(upload(png(), { document: 'pan' }, 'p.png', who), 201);
      const path = `/v1/kyc/documents/${added.id}`;
      for (const role of ['admin', 'viewer']) assert.equal((await world.api('GET', path, { token: await world.member(who, role) })).status, 403, role);
      const looks = async (): Promise<number> => world.db.collection('kyc_reveals').countDocuments({ companyId: who.companyId, what: 'file', fileId: added.id, byId: who.userId });
      assert.equal(await looks(), 0);
      assert.equal((await world.api('GET', path, { token: who.token })).status, 200);
      assert.equal(await looks(), 1);
      const events = (await world.api('GET', '/v1/security-events?type=security.reveal', { token: who.token })).body.data;
      assert.deepEqual(events.map((e: { details: unknown }) => e.details), [{ what: 'kyc_file', fileId: added.id }]);
    });

    it('a reviewer reads a file, which is noted', async () => {
      const who = await another(false);
      const added = await good(upload(png(), { document: 'pan' }, 'p.png', who), 201);
      const answer = await world.api('GET', `/v1/admin/kyc/${who.companyId}/documents/${added.id}`, { token: operator });
      assert.deepEqual([answer.status, answer.bytes.equals(png())], [200, true]);
      const audit = (await world.api('GET', '/v1/audit-log?collection=kyc_reveals', { token: who.token })).body.data;
      assert.deepEqual(audit.map((a: { actor?: { kind: string } }) => a.actor?.kind ?? 'operator'), ['operator']);
      await good(submit(who));
      await refused(world.api('DELETE', `/v1/kyc/documents/${added.id}`, { token: who.token }), 409, 'document_under_review');
    });

    it('R3 a file put in another\'s place does not open', async () => {
      const who = await another(false);
      const [one, two] = [await good(upload(png(), {}, 'a', who), 201), await good(upload(pdf(), {}, 'b', who), 201)];
      const row = await world.db.collection('kycs').findOne({ companyId: who.companyId });
      const fileId = (id: string): string => (row?.['files'] as { id: string; fileId: string }[]).find((f) => f.id === id)?.fileId ?? '';
      const chunks = world.db.collection('uploads.chunks');
      const stolen = await chunks.findOne({ files_id: fileId(one.id) as never });
      await chunks.updateOne({ files_id: fileId(two.id) as never }, { $set: { data: stolen?.['data'] } });
      await world.db.collection('uploads.files').updateOne({ _id: fileId(two.id) as never }, { $set: { length: stolen?.['data'].length() } });
      assert.equal((await world.api('GET', `/v1/kyc/documents/${two.id}`, { token: who.token })).status, 409);
      assert.equal((await world.api('GET', `/v1/kyc/documents/${one.id}`, { token: who.token })).status, 200);
    });

    it('an idempotency key adds one file', async () => {
      const who = await another(false);
      const form = (): FormData => {
        const data = new FormData();
        data.set('document', 'address');
        data.set('file', new Blob([new Uint8Array(pdf())]), 'x.pdf');
        return data;
      };
      const { answers, statuses } = await race(5, () => world.api('POST', '/v1/kyc/documents', { token: who.token, key: 'one-file', raw: form() }));
      assert.deepEqual(statuses, { 201: 5 });
      assert.equal(new Set(answers.map((a) => a.body.id)).size, 1);
      assert.equal((await world.api('GET', '/v1/kyc/documents', { token: who.token })).body.data.length, 1);
    });

    it('A4 twenty files are taken, also at once, and not one more', async () => {
      const who = await another(false);
      for (let i = 0; i < 17; i += 1) await good(upload(png(), {}, 'x', who), 201);
      const { statuses } = await race(6, () => upload(png(), {}, 'x', who));
      assert.deepEqual(statuses, { 201: 3, 409: 3 });
      await refused(upload(png(), {}, 'x', who), 409, 'too_many_files');
      assert.equal((await kyc(who)).files.length, 20);
    });

    it('C4 files that no KYC refers to are swept', async () => {
      const before = await storedFiles();
      const orphan = (i: number) => ({ _id: i.toString(16).padStart(24, '0') as never, length: 0, chunkSize: 1, uploadDate: new Date(1_000), metadata: { purpose: 'kyc' } });
      await world.db.collection('uploads.files').insertMany(Array.from({ length: 1_200 }, (_, i) => orphan(i + 1)));
      world.advance(2 * DAY_MS);
      await runSchedule('kyc.sweep_files');
      await runSchedule('kyc.sweep_files');
      world.advance(-2 * DAY_MS);
      assert.equal(await storedFiles(), before);
    });

    describe('with a virus scanner', () => {
      let scanner: Server;
      let url = '';
      let reply = 'stream: OK\0';
      let scanned: Buffer;
      let connections = 0;

      before(async () => {
        // What clamd speaks: zINSTREAM\0, frames of a length and so many bytes, a length of zero, then one line back.
        scanner = createServer((socket) => {
          connections += 1;
          let got = Buffer.alloc(0);
          socket.on('error', () => undefined);
          socket.on('data', (part) => {
            got = Buffer.concat([got, part]);
            const frames: Buffer[] = [];
            if (!got.toString('latin1').startsWith('zINSTREAM\0')) return;
            for (let at = 10; at + 4 <= got.length; ) {
              const length = got.readUInt32BE(at);
              if (length === 0) {
                scanned = Buffer.concat(frames);
                const infected = scanned.includes('EICAR');
                if (reply !== '') socket.end(infected ? 'stream: Eicar-Test-Signature FOUND\0' : reply);
                return;
              }
              frames.push(got.subarray(at + 4, at + 4 + length));
              at += 4 + length;
            }
          });
        });
        await new Promise<void>((resolve) => scanner.listen(0, '127.0.0.1', resolve));
        url = `tcp://127.0.0.1:${(scanner.address() as { port: number }).port}`;
      });
      after(() => new Promise<void>((resolve) => void scanner.close(() => resolve())));

      it('C4 shows it every byte, refuses what it finds, and waits for its word', async () => {
        const who = await another(false);
        const before = await storedFiles();
        await withConfig({ clamavUrl: url, clamavTimeoutMs: 300 }, async () => {
          await good(upload(pdf(), {}, 'x', who), 201);
          assert.ok(scanned.equals(pdf()));
          await refused(upload(pdf('/X (EICAR)'), {}, 'x', who), 400, 'file_infected');
          reply = 'INSTREAM size limit exceeded. ERROR\0';
          await refused(upload(pdf(), {}, 'x', who), 503, 'scanner_unavailable');
          reply = '';
          await refused(upload(pdf(), {}, 'x', who), 503, 'scanner_unavailable');
          reply = 'stream: OK\0';
        });
        await withConfig({ clamavUrl: 'tcp://127.0.0.1:1' }, async () => void (await refused(upload(pdf(), {}, 'x', who), 503, 'scanner_unavailable')));
        assert.equal(await storedFiles(), before + 1);
        assert.equal((await kyc(who)).files.length, 1);
      });

      it('C4 leaves one that is away in peace, keeps nothing unseen meanwhile, and comes back to it', async () => {
        const who = await another(false);
        const [before, connected] = [await storedFiles(), connections];
        await withConfig({ clamavUrl: url, clamavTimeoutMs: 50 }, async () => {
          reply = '';
          for (let n = 0; n < 7; n += 1) await refused(upload(pdf(), {}, 'x', who), 503, 'scanner_unavailable');
          assert.equal(connections - connected, 5);
          assert.equal(await storedFiles(), before);
          reply = 'stream: OK\0';
          world.advance(30_000);
          await good(upload(pdf(), {}, 'x', who), 201);
        });
      });
    });
  });
});

describe('KYC under its limits', () => {
  it('R8 the third reveal of an hour is 429, and shows and notes nothing', async () => {
    const world = await startWorld({ RATE_LIMIT_SENSITIVE_PER_HOUR: '2' });
    try {
      const { token, companyId } = await world.merchant({ location: false, verified: false });
      assert.equal((await world.api('PUT', '/v1/kyc/pan', { token, body: PAN })).status, 200);
      const reveal = () => world.api('POST', '/v1/kyc/reveal', { token, body: { field: 'pan', reason: 'A customer asked for it' } });
      const form = new FormData();
      form.set('document', 'pan');
      form.set('file', new Blob([new Uint8Array(pdf())]), 'pan.pdf');
      const file = await world.api('POST', '/v1/kyc/documents', { token, raw: form });
      assert.equal(file.status, 201, JSON.stringify(file.body));
      const { statuses } = await race(5, reveal);
      assert.deepEqual(statuses, { 200: 2, 429: 3 });
      assert.equal((await world.api('GET', `/v1/kyc/documents/${file.body.id}`, { token })).status, 429, 'a file shows the whole number as well');
      const answer = await reveal();
      assert.deepEqual([answer.body.error.code, Number(answer.headers.get('retry-after')) > 0], ['rate_limited', true]);
      assert.equal(await world.db.collection('kyc_reveals').countDocuments({ companyId }), 2);
    } finally {
      await world.close();
    }
  });

  it('R11 with its key a company loses what it sealed: masks, reveals and files alike', async () => {
    const world = await startWorld();
    try {
      const { token, companyId } = await world.merchant({ location: false, verified: false });
      await world.api('PUT', '/v1/kyc/pan', { token, body: PAN });
      await world.api('PUT', '/v1/kyc/bank-account', { token, body: BANK });
      const form = new FormData();
      form.set('file', new Blob([new Uint8Array(pdf())]), 'x.pdf');
      const file = await world.api('POST', '/v1/kyc/documents', { token, raw: form });
      assert.equal(file.status, 201);
      await withTransaction(systemCtx('test', companyId), async (ctx) => destroyKeys(ctx, companyId));
      const { status, body } = await world.api('GET', '/v1/kyc', { token });
      assert.deepEqual([status, body.documents.pan.number, body.documents.bankAccount.holderName], [200, '[erased]', '[erased]']);
      for (const path of [`/v1/kyc/documents/${file.body.id}`]) assert.equal((await world.api('GET', path, { token })).body.error.code, 'data_erased');
      assert.equal((await world.api('POST', '/v1/kyc/reveal', { token, body: { field: 'pan', reason: 'A customer asked for it' } })).body.error.code, 'data_erased');
      assert.equal((await world.api('PUT', '/v1/kyc/pan', { token, body: PAN })).body.error.code, 'data_erased');
    } finally {
      await world.close();
    }
  });
});
