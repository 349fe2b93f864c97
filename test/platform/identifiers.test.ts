import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import type { Parsed } from '../../src/platform/identifiers.ts';
import {
  gstinCheckCharacter,
  hasVerhoeffCheck,
  maskAadhaar,
  panHolder,
  panOfGstin,
  parseAadhaar,
  parseBankAccount,
  parseEwayBill,
  parseGstin,
  parseHsn,
  parseIfsc,
  parseMobile,
  parsePan,
  parsePincode,
  parseVehicle,
} from '../../src/platform/identifiers.ts';
import { STATES, findState, stateCode, stateOfGstCode } from '../../src/platform/identifiers.states.ts';

type Parse = (text: string) => Parsed;

function table(parse: Parse, good: [string, string][], bad: string[]): void {
  for (const [text, value] of good) {
    it(`${parse.name} reads ${JSON.stringify(text)}`, () => assert.deepEqual(parse(text), { ok: true, value }));
  }
  for (const text of bad) {
    it(`${parse.name} refuses ${JSON.stringify(text.slice(0, 40))} without repeating it`, () => {
      const answer = parse(text);
      assert.equal(answer.ok, false);
      if (!answer.ok && text.trim().length > 3) assert.ok(!answer.problem.includes(text.trim()));
    });
  }
}

function gstin(first14: string): string {
  return first14 + gstinCheckCharacter(first14);
}

describe('PAN', () => {
  table(
    parsePan,
    [
      ['ABCPE1234F', 'ABCPE1234F'],
      [' abcpe1234f ', 'ABCPE1234F'],
      ['ABCPE 1234 F', 'ABCPE1234F'],
      ['ABC-PE-1234-F', 'ABCPE1234F'],
      ['AAPFU0939F', 'AAPFU0939F'],
      ['ＡＢＣＰＥ１２３４Ｆ', 'ABCPE1234F'],
      ['ABCPE0001F', 'ABCPE0001F'],
      ['\u200BABCPE1234F', 'ABCPE1234F'],
    ],
    [
      '',
      ' ',
      'ABCPE0000F',
      'ABCDE1234F',
      'ABCZE1234F',
      'ABCPE123F',
      'ABCPE12345F',
      'ABCP11234F',
      '1BCPE1234F',
      'ABCPE1234',
      'ABCPE1234FF',
      'ABCPE12३4F',
      'ABßPE1234F',
      'ABCPE1234F;',
      'A'.repeat(5000),
    ],
  );
  for (const letter of 'ABCFGHLJPTK') {
    it(`accepts and names the holder ${letter}`, () => {
      assert.equal(parsePan(`ABC${letter}E1234F`).ok, true);
      assert.ok(panHolder(`ABC${letter}E1234F`));
    });
  }
  for (const letter of 'DEIMNOQRSUVWXYZ') {
    it(`refuses the holder ${letter}`, () => assert.equal(parsePan(`ABC${letter}E1234F`).ok, false));
  }
});

describe('Aadhaar', () => {
  table(
    parseAadhaar,
    [
      ['234123412346', '234123412346'],
      ['2341 2341 2346', '234123412346'],
      ['2341-2341-2346', '234123412346'],
      ['234123412346 ', '234123412346'],
    ],
    [
      '',
      '123412341234',
      '034123412346',
      '23412341234',
      '2341234123461',
      '234123412347',
      '224466664422',
      '222222222222',
      'abcdefghijkl',
    ],
  );

  it('refuses a palindrome whose check digit is right', () => {
    let half = 200_000;
    while (!hasVerhoeffCheck(`${half}${[...String(half)].reverse().join('')}`)) half += 1;
    const first = `${half}${[...String(half)].reverse().join('')}`;
    assert.equal(parseAadhaar(first).ok, false);
  });

  it('the check digit of 236 is 3, as in the published example', () => {
    assert.ok(hasVerhoeffCheck('2363'));
    for (const digit of '012456789') assert.ok(!hasVerhoeffCheck(`236${digit}`));
  });

  it('catches every single wrong digit and every swap of neighbours', () => {
    const right = '234123412346';
    for (let place = 0; place < 12; place++) {
      for (const digit of '0123456789') {
        const wrong = right.slice(0, place) + digit + right.slice(place + 1);
        assert.equal(hasVerhoeffCheck(wrong), wrong === right, `place ${place}, digit ${digit}`);
      }
      const swapped = right.slice(0, place) + right.charAt(place + 1) + right.charAt(place) + right.slice(place + 2);
      if (place < 11 && swapped !== right) assert.ok(!hasVerhoeffCheck(swapped), `swap at ${place}`);
    }
  });

  it('shows only the last four digits', () => assert.equal(maskAadhaar('234123412346'), 'XXXX XXXX 2346'));
});

describe('GSTIN', () => {
  table(
    parseGstin,
    [
      ['27AAPFU0939F1ZV', '27AAPFU0939F1ZV'],
      ['27 aapfu0939f 1zv', '27AAPFU0939F1ZV'],
      ['29AAGCB7383J1Z4', '29AAGCB7383J1Z4'],
      [gstin('38ABCPE1234F1Z'), gstin('38ABCPE1234F1Z')],
      [gstin('97ABCPE1234F1Z'), gstin('97ABCPE1234F1Z')],
      [gstin('01ABCPE1234FAZ'), gstin('01ABCPE1234FAZ')],
    ],
    [
      '',
      '27AAPFU0939F1ZX',
      gstin('00ABCPE1234F1Z'),
      gstin('39ABCPE1234F1Z'),
      gstin('96ABCPE1234F1Z'),
      gstin('98ABCPE1234F1Z'),
      gstin('99ABCPE1234F1Z'),
      gstin('27ABCDE1234F1Z'),
      gstin('27ABCPE0000F1Z'),
      gstin('27ABCPE1234F0Z'),
      gstin('27ABCPE1234F1Y'),
      '27AAPFU0939F1Z',
      '27AAPFU0939F1ZVV',
    ],
  );
  for (let state = 1; state <= 38; state++) {
    const code = String(state).padStart(2, '0');
    it(`accepts state ${code} and knows its name`, () => {
      assert.equal(parseGstin(gstin(`${code}ABCPE1234F1Z`)).ok, true);
      assert.ok(stateOfGstCode(code));
    });
  }

  it('catches every wrong check character', () => {
    for (const letter of '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ') {
      assert.equal(parseGstin(`27AAPFU0939F1Z${letter}`).ok, letter === 'V');
    }
  });

  it('contains the PAN', () => assert.equal(panOfGstin('27AAPFU0939F1ZV'), 'AAPFU0939F'));
});

describe('bank, HSN, vehicle and e-way bill', () => {
  table(
    parseIfsc,
    [
      ['HDFC0000001', 'HDFC0000001'],
      [' sbin0abc123', 'SBIN0ABC123'],
      ['ICIC 0000 047', 'ICIC0000047'],
    ],
    ['', 'HDFC1000001', 'HDF00000001', 'HDFC000001', 'HDFC00000011', 'HDFC0-000/1'],
  );
  table(
    parseBankAccount,
    [
      ['000123456', '000123456'],
      ['1234 5678 9012', '123456789012'],
      ['123456789012345678', '123456789012345678'],
      ["'00123456789", '00123456789'],
    ],
    ['', '12345678', '1234567890123456789', '12345678A', '1.23457E+14'],
  );
  table(
    parseHsn,
    [
      ['6912', '6912'],
      ['0902', '0902'],
      ['691200', '691200'],
      ['6912 00 10', '69120010'],
    ],
    ['', '691', '69120', '6912001', '691200100', 'ABCD'],
  );
  table(
    parseVehicle,
    [
      ['KA01AB1234', 'KA01AB1234'],
      ['mh 12 de 1433', 'MH12DE1433'],
      ['DL-1C-AA-1111', 'DL1CAA1111'],
      ['22BH1234AA', '22BH1234AA'],
      ['HR261234', 'HR261234'],
    ],
    ['', 'KA01', 'K01AB1234', 'KA01ABCD1234', '22BX1234AA'],
  );
  table(
    parseEwayBill,
    [
      ['123456789012', '123456789012'],
      ['1234 5678 9012', '123456789012'],
    ],
    ['', '12345678901', '1234567890123', '12345678901A'],
  );
});

describe('mobile', () => {
  const e164 = '+919876543210';
  const forms = [
    '9876543210',
    '98765 43210',
    '98765-43210',
    '09876543210',
    '0 98765 43210',
    '+919876543210',
    '+91 98765 43210',
    '+91-9876543210',
    '919876543210',
    '91 98765 43210',
    '00919876543210',
    '0919876543210',
    "'+919876543210",
    "'9876543210",
    '(+91) 9876543210',
    '+91 (0) 98765 43210',
    ' 9876543210 ',
    '9876543210\u202C',
    '\u202A+91 98765 43210\u202C',
    '９８７６５４３２１０',
    '+91 098765 43210',
    '98765.43210',
    '98765–43210',
  ];
  table(
    parseMobile,
    [
      ...forms.map((text): [string, string] => [text, e164]),
      ['9198675810', '+919198675810'],
      ['6000012345', '+916000012345'],
      ['+9779841234567', '+9779841234567'],
      ['+971501234567', '+971501234567'],
    ],
    [
      '',
      '12345',
      '5876543210',
      '987654321',
      '98765432101',
      '+91 80 2222 3333',
      '08022223333',
      '1800 123 4567',
      '9.19868E+11',
      '9876543210 / 9876543211',
      '9876543210,9876543211',
      '9876543210 ext 5',
      'call 9876543210',
      '+999876543210',
      '0000000000',
      '<9876543210>',
      '9'.repeat(70),
    ],
  );
});

describe('pincode shape', () => {
  table(
    parsePincode,
    [
      ['560001', '560001'],
      [' 560 001 ', '560001'],
      ["'700140", '700140'],
      ['560-001', '560001'],
      ['５６０００１', '560001'],
    ],
    ['', '060001', '56001', '5600011', '56000A', '560001.0', '560001;560002'],
  );
});

describe('every identifier', () => {
  const parsers: Parse[] = [
    parsePan,
    parseAadhaar,
    parseGstin,
    parseIfsc,
    parseBankAccount,
    parseMobile,
    parsePincode,
    parseHsn,
    parseVehicle,
    parseEwayBill,
  ];
  for (const parse of parsers) {
    it(`${parse.name} never throws, is stable on its own answer, and its problem repeats no input`, () => {
      fc.assert(
        fc.property(
          fc.oneof(fc.string({ unit: 'binary', maxLength: 80 }), fc.stringMatching(/^[A-Z0-9 +-]{4,20}$/)),
          (text) => {
            const answer = parse(text);
            if (answer.ok) assert.deepEqual(parse(answer.value), answer);
            if (!answer.ok && /\d{3}/.test(text)) assert.ok(!/\d{3}/.test(answer.problem));
          },
        ),
        { numRuns: 300 },
      );
    });
  }
});

describe('states', () => {
  const cases: [string, string][] = [
    ['DL', '07'],
    ['Delhi', '07'],
    ['NEW DELHI', '07'],
    ['IN-DL', '07'],
    ['MH', '27'],
    ['KA', '29'],
    ['WB', '19'],
    ['ML', '17'],
    ['TN', '33'],
    ['TS', '36'],
    ['TG', '36'],
    ['OR', '21'],
    ['OD', '21'],
    ['Orissa', '21'],
    ['CG', '22'],
    ['CT', '22'],
    ['UK', '05'],
    ['UT', '05'],
    ['Lakshadweep', '31'],
    ['LD', '31'],
    ['LA', '38'],
    ['ladakh', '38'],
    ['AP', '37'],
    ['Pondicherry', '34'],
    ['THE DADRA AND NAGAR HAVELI AND DAMAN AND DIU', '26'],
    ['DN', '26'],
    ['DD', '26'],
    ['Jammu & Kashmir', '01'],
    ['JAMMU AND KASHMIR', '01'],
    ['Andaman & Nicobar Islands', '35'],
    ['  tamil  nadu ', '33'],
    ['Other Territory', '97'],
  ];
  for (const [text, code] of cases) it(`${text} has the GST code ${code}`, () => assert.equal(stateCode(text), code));
  for (const text of ['', ' ', 'XX', 'Texas', 'Del', '07', 'x'.repeat(200)]) {
    it(`${JSON.stringify(text.slice(0, 20))} is no state`, () => assert.equal(findState(text), undefined));
  }

  it('has 37 entries, each found by its name, its ISO code and its GST code', () => {
    assert.equal(STATES.length, 37);
    for (const state of STATES) {
      assert.deepEqual(findState(state.name), state);
      assert.deepEqual(findState(state.isoCode), state);
      assert.deepEqual(stateOfGstCode(state.gstCode), state);
    }
  });

  it('still understands the retired codes', () => {
    assert.equal(stateOfGstCode('28')?.name, 'Andhra Pradesh');
    assert.equal(stateOfGstCode('25')?.gstCode, '26');
    assert.equal(stateOfGstCode('99'), undefined);
  });
});
