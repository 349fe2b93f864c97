import { strict as assert } from 'node:assert';
import { createCipheriv } from 'node:crypto';
import { AppError } from '../../src/platform/errors.ts';
import { gstinCheckCharacter, hasVerhoeffCheck } from '../../src/platform/identifiers.ts';
import { loadIfscTable } from '../../src/modules/kyc/ifsc.data.ts';
import { keepsAadhaar } from '../../src/modules/kyc/kyc.consent.rules.ts';
import { judgeFile } from '../../src/modules/kyc/kyc.file.rules.ts';
import { normalizeAadhaar, normalizeAddresses, normalizeBank, normalizeGstin, normalizePan } from '../../src/modules/kyc/kyc.input.rules.ts';
import { maskAccount, maskName, maskPan } from '../../src/modules/kyc/kyc.mask.rules.ts';
import { maskGstin } from '../../src/platform/db/masks.ts';
import { HOLDER_TYPES, type Documents, type KycDocument } from '../../src/modules/kyc/kyc.model.ts';
import { compareNames, missingToSubmit, nextStatus, overallStatus, type DocumentEvent } from '../../src/modules/kyc/kyc.rules.ts';
import type { KycStatus } from '../../src/modules/companies/index.ts';
import { jpeg, pdf, png } from '../support/kyc.ts';

const TODAY = new Date('2026-11-25T00:00:00Z');
const STATUSES: KycStatus[] = ['not_started', 'in_progress', 'submitted', 'verified', 'rejected', 'needs_action'];
const EVENTS: DocumentEvent[] = ['saved', 'submitted', 'verified', 'rejected', 'needs_action', 'withdrawn', 'expired', 'questioned'];

/** The faults of a refused input; every text of the answer is searched for the value. */
async function faultsOf(value: string, act: () => unknown): Promise<Record<string, string>> {
  try {
    await act();
  } catch (error) {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, 'validation_failed');
    const told = JSON.stringify([error.message, error.details]);
    assert.ok(!value || !told.includes(value.trim().toUpperCase()), 'the value is not repeated');
    return Object.fromEntries((error.details?.['fields'] as { path: string; message: string }[]).map(({ path, message }) => [path, message]));
  }
  return {};
}

describe('KYC rules', () => {
  describe('a document moves by its table', () => {
    const expected: Record<KycStatus, Partial<Record<DocumentEvent, KycStatus>>> = {
      not_started: { saved: 'in_progress' },
      in_progress: { saved: 'in_progress', submitted: 'submitted', questioned: 'needs_action' },
      submitted: { saved: 'in_progress', submitted: 'submitted', verified: 'verified', rejected: 'rejected', needs_action: 'needs_action', questioned: 'needs_action' },
      verified: { saved: 'in_progress', submitted: 'verified', withdrawn: 'needs_action', expired: 'needs_action', questioned: 'needs_action' },
      rejected: { saved: 'in_progress', questioned: 'rejected' },
      needs_action: { saved: 'in_progress', submitted: 'submitted', questioned: 'needs_action' },
    };
    for (const from of STATUSES) {
      it(`from ${from}`, () => {
        for (const event of EVENTS) assert.equal(nextStatus(from, event), expected[from][event], event);
      });
    }
  });

  describe('the whole follows from the documents', () => {
    const of = (states: Partial<Record<KycDocument, KycStatus>>): Documents =>
      Object.fromEntries(Object.entries(states).map(([document, status]) => [document, { status, revision: 1, savedAt: TODAY, check: { state: 'pending', provider: 'x', at: TODAY } }]));
    const cases: [Partial<Record<KycDocument, KycStatus>>, KycStatus, KycStatus][] = [
      [{}, 'not_started', 'not_started'],
      [{ pan: 'in_progress' }, 'not_started', 'in_progress'],
      [{ pan: 'submitted' }, 'in_progress', 'in_progress'],
      [{ pan: 'verified' }, 'in_progress', 'in_progress'],
      [{ pan: 'submitted', bankAccount: 'submitted' }, 'in_progress', 'submitted'],
      [{ pan: 'verified', bankAccount: 'submitted' }, 'submitted', 'submitted'],
      [{ pan: 'verified', bankAccount: 'verified' }, 'submitted', 'verified'],
      [{ pan: 'verified', bankAccount: 'verified', gstin: 'submitted' }, 'submitted', 'submitted'],
      [{ pan: 'verified', bankAccount: 'verified', gstin: 'submitted' }, 'verified', 'verified'],
      [{ pan: 'verified', bankAccount: 'verified', gstin: 'in_progress' }, 'verified', 'verified'],
      [{ pan: 'verified', bankAccount: 'verified', gstin: 'rejected' }, 'verified', 'rejected'],
      [{ pan: 'verified', bankAccount: 'in_progress' }, 'verified', 'in_progress'],
      [{ pan: 'needs_action', bankAccount: 'verified' }, 'verified', 'needs_action'],
      [{ pan: 'needs_action', bankAccount: 'rejected' }, 'submitted', 'rejected'],
    ];
    for (const [states, current, whole] of cases) {
      it(`${JSON.stringify(states)} after ${current} is ${whole}`, () => {
        assert.equal(overallStatus(of(states), current), whole);
        assert.equal(overallStatus(of(states), whole), whole, 'and stays so');
      });
    }

    it('files and addresses alone are a beginning', () => assert.equal(overallStatus({}, 'not_started', true), 'in_progress'));

    it('says what is missing before it can be submitted', () => {
      assert.deepEqual(missingToSubmit({}), { missing: ['pan', 'bankAccount'], rejected: [] });
      assert.deepEqual(missingToSubmit(of({ pan: 'rejected', bankAccount: 'in_progress' })), { missing: [], rejected: ['pan'] });
    });
  });

  describe('a PAN', () => {
    const pan = (number: string, holderType: (typeof HOLDER_TYPES)[number] = 'individual', more = {}) => normalizePan({ number, name: 'Asha Rao', holderType, ...more }, TODAY);

    it('R9 is taken in any spelling', () => {
      for (const spelling of [' abcpe1234f ', 'ABCPE1234F', 'abcpe-1234-f', 'Ａbcpe 1234f']) assert.equal(pan(spelling).number, 'ABCPE1234F', spelling);
    });

    const wrong: [string, (typeof HOLDER_TYPES)[number], RegExp][] = [
      ['ABCPE1234', 'individual', /five letters, four digits and a letter/],
      ['ABCPE12345', 'individual', /five letters, four digits/],
      ['ABCPE0000F', 'individual', /cannot all be zero/],
      ['ABCXE1234F', 'individual', /fourth letter/],
      ['ABCCE1234F', 'individual', /another kind of holder/],
      ['ABCPE1234F', 'company', /another kind of holder/],
      ['ABCHE1234F', 'firm', /another kind of holder/],
    ];
    for (const [number, holderType, message] of wrong) {
      it(`${number.length} characters for ${holderType}: says ${String(message)}`, async () => {
        const faults = await faultsOf(number, () => pan(number, holderType));
        assert.match(faults['number'] ?? '', message);
      });
    }

    it('fits each kind of holder by its fourth letter', () => {
      const letters: Record<string, (typeof HOLDER_TYPES)[number]> = { P: 'individual', C: 'company', F: 'firm', H: 'huf', A: 'aop', B: 'boi', T: 'trust', K: 'trust', L: 'local_authority', J: 'artificial_juridical', G: 'government' };
      for (const [letter, right] of Object.entries(letters)) {
        for (const type of HOLDER_TYPES) {
          const act = () => pan(`ABC${letter}E1234F`, type);
          if (type === right) assert.equal(act().number, `ABC${letter}E1234F`);
          else assert.throws(act);
        }
      }
    });

    it('tells every fault at once', async () => {
      const faults = await faultsOf('', () => normalizePan({ number: 'x', name: ' 7 ', holderType: 'company', dateOfBirth: '2026-02-30' }, TODAY));
      assert.deepEqual(Object.keys(faults).sort(), ['dateOfBirth', 'name', 'number']);
      for (const dateOfBirth of ['2027-01-01', '1899-01-01', '25-11-1990', '1990-13-01']) assert.throws(() => pan('ABCPE1234F', 'individual', { dateOfBirth }), dateOfBirth);
      assert.equal(pan('ABCPE1234F', 'individual', { dateOfBirth: '1990-01-31' }).dateOfBirth, '1990-01-31');
    });
  });

  describe('an Aadhaar number', () => {
    const aadhaar = (number: string, consent = true) => normalizeAadhaar({ number, consent });
    it('is taken with blanks and hyphens', () => {
      for (const spelling of ['2345 6789 0124', '2345-6789-0124', ' 234567890124 ']) assert.equal(aadhaar(spelling), '234567890124');
      assert.ok(hasVerhoeffCheck('234567890124'));
    });
    const wrong: [string, RegExp][] = [
      ['23456789012', /twelve digits/],
      ['2345678901244', /twelve digits/],
      ['134567890124', /2 to 9/],
      ['234567890125', /check digit/],
      ['222222222222', /backwards/],
      ['23456789012A', /twelve digits/],
    ];
    for (const [number, message] of wrong) it(`says ${String(message)}`, async () => assert.match((await faultsOf(number, () => aadhaar(number)))['number'] ?? '', message));
    it('is not taken without consent', async () => assert.match((await faultsOf('234567890124', () => aadhaar('234567890124', false)))['consent'] ?? '', /consent/));
    it('is kept only for those who must', () => {
      assert.deepEqual(['', 'all', 'a,b', ' b , c '].map((setting) => keepsAadhaar(setting, 'b')), [false, true, true, true]);
    });
  });

  describe('a GSTIN', () => {
    const valid = `07ABCPE1234F1Z${gstinCheckCharacter('07ABCPE1234F1Z')}`;
    it('is taken when the PAN inside is the KYC\'s', () => {
      assert.equal(normalizeGstin(` ${valid.toLowerCase()} `, 'ABCPE1234F'), valid);
      assert.equal(normalizeGstin(valid, undefined), valid);
    });
    const wrong: [string, RegExp][] = [
      [valid.slice(0, 14), /fifteen characters/],
      [`99${valid.slice(2)}`, /state code/],
      [`${valid.slice(0, 14)}${valid.endsWith('9') ? '8' : '9'}`, /check character/],
      [`07ABCXE1234F1Z5`, /PAN inside this GSTIN is not valid/],
    ];
    for (const [number, message] of wrong) it(`says ${String(message)}`, async () => assert.match((await faultsOf(number, () => normalizeGstin(number, undefined)))['number'] ?? '', message));
    it('says that the PAN is another one', async () => assert.match((await faultsOf(valid, () => normalizeGstin(valid, 'ABCPE9999F')))['number'] ?? '', /not the PAN of this KYC/));
  });

  describe('a bank account', () => {
    const bank = async (more: object = {}) => normalizeBank({ accountNumber: '001234567890', ifsc: 'hdfc0000001', holderName: 'Asha Rao', ...more }, await loadIfscTable());
    it('keeps its leading zeros, and its branch is known', async () => {
      assert.deepEqual(await bank({ accountNumberConfirm: '0012 3456 7890' }), { record: { accountNumber: '001234567890', ifsc: 'HDFC0000001', holderName: 'Asha Rao' }, branchKnown: true });
    });
    it('of an unknown branch is taken and marked', async () => assert.equal((await bank({ ifsc: 'HDFC0ZZZZZZ' })).branchKnown, false));
    it('knows branches with letters', async () => assert.deepEqual((await loadIfscTable()).look('SBIN0RRUKGB'), { bank: true, branch: true }));
    const wrong: [object, string, RegExp][] = [
      [{ accountNumber: '12345678' }, 'accountNumber', /9 to 18 digits/],
      [{ accountNumber: '1234567890123456789' }, 'accountNumber', /9 to 18 digits/],
      [{ accountNumberConfirm: '001234567891' }, 'accountNumberConfirm', /not the same/],
      [{ ifsc: 'HDFC1000001' }, 'ifsc', /four letters, a zero/],
      [{ ifsc: 'ZZZZ0000001' }, 'ifsc', /No bank/],
      [{ holderName: '123' }, 'holderName', /letters/],
    ];
    for (const [more, path, message] of wrong) it(`says ${String(message)}`, async () => assert.match((await faultsOf('', () => bank(more)))[path] ?? '', message));
  });

  it('A4 ten addresses are taken and eleven refused', async () => {
    const address = { kind: 'registered' as const, line1: '1 MG Road', city: 'Delhi', state: 'DL', pincode: '110001' };
    const { addresses, lines } = normalizeAddresses(Array.from({ length: 10 }, () => ({ ...address, line2: 'Floor 2' })));
    assert.deepEqual([addresses.length, addresses[0]?.state, lines[0]], [10, 'Delhi', '1 MG Road\nFloor 2']);
    assert.match((await faultsOf('', () => normalizeAddresses(Array.from({ length: 11 }, () => address))))['addresses'] ?? '', /10 items/);
    const faults = await faultsOf('', () => normalizeAddresses([{ ...address, state: 'Atlantis', pincode: '010001', line1: ' ', city: ' ' }]));
    assert.deepEqual(Object.keys(faults).sort(), ['addresses.0.city', 'addresses.0.line1', 'addresses.0.pincode', 'addresses.0.state']);
  });

  it('R7 masks say little', () => {
    assert.deepEqual([maskPan('ABCPE1234F'), maskGstin('07ABCPE1234F1Z5'), maskAccount('001234567890'), maskName('Asha  Rao'), maskName('आशा राव')], ['XXXXXX234F', '07XXXXXXXXXF1Z5', 'XXXXXX7890', 'A*** R***', 'आ*** र***']);
  });

  it('names compare by their words', () => {
    const cases: [string, string, string][] = [
      ['Asha Rao', 'RAO ASHA', 'same'],
      ['Asha Rao', 'Mrs. Asha Rao', 'same'],
      ['Demo Traders Pvt Ltd', 'Demo Traders Private Limited', 'same'],
      ['Asha Rao', 'A Rao', 'similar'],
      ['Asha Rao', 'Asha Meena Rao', 'similar'],
      ['Asha Rao', 'Ravi Iyer', 'different'],
      ['A R', 'Anil Roy', 'different'],
      ['', 'Asha', 'different'],
    ];
    for (const [a, b, result] of cases) assert.equal(compareNames(a, b), result, `${a} | ${b}`);
  });

  describe('R35 a file is judged by its bytes', () => {
    const refused = { code: 'unsupported_file', kind: 'unsupported_type' };
    const text = (s: string): Buffer => Buffer.from(s, 'latin1');

    it('takes plain PDF, PNG and JPEG', async () => {
      assert.deepEqual(await Promise.all([pdf(), png(), jpeg()].map(judgeFile)), ['application/pdf', 'image/png', 'image/jpeg']);
      assert.equal(await judgeFile(Buffer.concat([jpeg(), Buffer.alloc(16)])), 'image/jpeg', 'padding');
      assert.equal(await judgeFile(Buffer.concat([jpeg(), jpeg()])), 'image/jpeg', 'a phone\'s second picture');
    });

    it('takes large pictures, whose bytes hold every short word by chance', async () => {
      const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16)).update(Buffer.alloc(30_000_000));
      assert.equal(await judgeFile(Buffer.concat([text('%PDF-1.7\n1 0 obj\n<< /Length 30000000 >>\nstream\n'), noise, text('\nendstream\nendobj\n'), pdf()])), 'application/pdf');
      assert.equal(await judgeFile(png(noise)), 'image/png');
    });

    const bad: [string, Buffer][] = [
      ['text', text('hello')],
      ['an HTML page', text('<!doctype html><script>alert(1)</script>')],
      ['an SVG', text('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')],
      ['a GIF', text('GIF89a\x01\x00\x01\x00\x80\x00\x00')],
      ['a ZIP', text('PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')],
      ['an EXE', Buffer.concat([text('MZ'), Buffer.alloc(200)])],
      ['a page inside a picture', Buffer.concat([jpeg(), text('<html><script>alert(1)</script>')])],
      ['a script inside a picture\'s chunk', png(text('<ScRiPt src=//x>'))],
      ['PHP behind a picture', Buffer.concat([png(), text('<?php system($_GET[1]);')])],
      ['an archive behind a picture', Buffer.concat([png(), text('PK\x05\x06'), Buffer.alloc(18)])],
      ['an archive behind a PDF', Buffer.concat([pdf(), text('PK\x05\x06'), Buffer.alloc(18)])],
      ['bytes behind a PNG', Buffer.concat([png(), text('more')])],
      ['bytes behind a JPEG', Buffer.concat([jpeg(), text('more')])],
      ['a PDF inside a picture', png(text('%PDF-1.7'))],
      ['a cut-off PNG', png().subarray(0, 40)],
      ['a cut-off JPEG', jpeg().subarray(0, -2)],
      ['a PDF that begins late', Buffer.concat([text('junk\n'), pdf()])],
      ['a PDF with JavaScript', pdf('/OpenAction << /S /JavaScript /JS (app.alert(1)) >>')],
      ['a PDF with a hidden name', pdf('/S /#4AavaScr#69pt')],
      ['a PDF that launches', pdf('/S /Launch /F (cmd.exe)')],
      ['a PDF with attachments', pdf('/Type /EmbeddedFile')],
      ['a PDF that opens another file', pdf('/AA << /O << /S /GoToR /F (\\\\evil\\x) >> >>')],
      ['a cut-off PDF', text('%PDF-1.4\n')],
    ];
    for (const [what, bytes] of bad) it(`refuses ${what}`, async () => assert.rejects(judgeFile(bytes), refused));
    it('refuses nothing at all as invalid', async () => assert.rejects(judgeFile(Buffer.alloc(0)), { code: 'validation_failed' }));
  });
});
