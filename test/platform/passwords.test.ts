import { strict as assert } from 'node:assert';
import argon2 from 'argon2';
import { AppError } from '../../src/platform/errors.ts';
import { pause } from '../../src/platform/pause.ts';
import { loadCommonPasswords, makePasswordPolicy, makePasswords, type PasswordPolicy } from '../../src/platform/passwords.ts';

const LIST = new URL('../../data/common-passwords.txt', import.meta.url);
const owner = { email: 'meera.nair@shop.example', name: 'Meera Nair', companyName: 'Kaveri Silks Private Limited' };

describe('passwords', () => {
  describe('policy', () => {
    let policy: PasswordPolicy;
    let common: ReadonlySet<string>;
    before(async () => {
      common = await loadCommonPasswords(LIST);
      policy = makePasswordPolicy(common);
    });

    it('has a list of at least 3000 passwords of eight and more characters', () => {
      assert([...common].filter((word) => word.length >= 8).length >= 3_000);
      for (const word of ['password', '12345678', 'qwertyuiop', 'iloveyou', 'admin']) assert(common.has(word), word);
    });

    const good = [
      'correct-Horse-battery-7',
      'Tr0ub4dor&3xyz',
      'aB3' + 'x1Yz'.repeat(8),
      'मेरा पासवर्ड Long 9',
      'plum tree 42 River',
      `Aa1${'é-ü'.repeat(41)}xy`,
      'Zq8v N2mX 5rT9',
    ];
    for (const password of good) it(`accepts ${password.slice(0, 30)}`, () => assert.deepEqual(policy(password, owner), []));

    const bad: [string, RegExp][] = [
      ['', /at least 12/],
      ['Short-1', /at least 12/],
      ['Elevenchr-1', /at least 12/],
      ['password1', /at least 12/],
      ['💥💥💥💥Aa1', /at least 12/],
      [`Aa1-${'xyzw'.repeat(31)}q`, /at most 128/],
      ['onlylowercaseletters', /three of/],
      ['lowercaseand12345', /three of/],
      ['UPPERCASE 12345', /^$/],
      ['123456789012345', /three of/],
      ['Password1234!', /too common/],
      ['P@ssw0rd12345', /too common/],
      ['PASSWORD-1234', /too common/],
      ['!!Password!!1', /too common/],
      ['Qwerty@12345678', /too common/],
      ['Qwertyuiop123!', /too common/],
      ['Iloveyou#2024', /too common/],
      ['Admin@123456', /too common/],
      ['Welcome@12345', /too common/],
      ['Dakiya@123456', /too common/],
      ['India@1234567', /too common/],
      ['Letmein!!!!!1', /too common/],
      ['1234567-Password', /too common/],
      ['Aa1Aa1Aa1Aa1!', /too common|at least/],
      ['abcABCabcABC1', /too common/],
      ['A1!A1!A1!A1!', /too common/],
      ['Meera-loves-tea-9', /your name/],
      ['Xx9-NAIR-qpwoei', /your name/],
      ['meera.nair@shop.Example1', /your name/],
      ['Kaveri#2024#Silk', /your name/],
      ['MeeraNair-998877', /your name/],
      ['Abc-\ud800-defghi-1', /Unicode/],
    ];
    for (const [password, expected] of bad) {
      if (expected.source === '^$') {
        it(`accepts ${password}: upper case, digits and a space are three classes`, () => assert.deepEqual(policy(password, owner), []));
      } else {
        it(`refuses ${JSON.stringify(password.slice(0, 30))}: ${expected.source}`, () => {
          assert(policy(password, owner).some((problem) => expected.test(problem)), policy(password, owner).join('; '));
        });
      }
    }

    it('takes 128 characters and counts them as a reader does', () => {
      const password = `Aa1-${'🌳🌿🍀'.repeat(50)}`;
      assert.deepEqual(policy([...password].slice(0, 128).join(''), owner), []);
      assert.match(policy([...password].slice(0, 129).join(''), owner).join(), /at most 128/);
    });

    it('says everything at once', () => assert.equal(policy('meera nair', owner).length, 3));

    it('does not mind words that every company has', () => {
      assert.deepEqual(policy('Limited-Edition-42', owner), []);
    });
  });

  describe('hashing', () => {
    const passwords = makePasswords();

    it('is argon2id with m=19456, t=2, p=1, and verifies', async () => {
      const hash = await passwords.hash('correct-Horse-battery-7');
      assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
      assert.equal(await passwords.verify(hash, 'correct-Horse-battery-7'), true);
      assert.equal(await passwords.verify(hash, 'correct-Horse-battery-8'), false);
      assert.equal(passwords.needsRehash(hash), false);
    });

    it('cuts nothing off: 72 and 128 characters that differ in the last one differ', async () => {
      for (const length of [72, 128]) {
        const hash = await passwords.hash('x'.repeat(length - 1) + 'a');
        assert.equal(await passwords.verify(hash, 'x'.repeat(length - 1) + 'b'), false);
      }
    });

    it('takes the same text in another Unicode form', async () => {
      const hash = await passwords.hash('Caf\u00e9-au-lait-12');
      assert.equal(await passwords.verify(hash, 'Cafe\u0301-au-lait-12'), true);
    });

    it('asks for a new hash where parameters are old', async () => {
      const weak = await argon2.hash('x', { type: argon2.argon2id, memoryCost: 1_024, timeCost: 2, parallelism: 1 });
      assert.equal(passwords.needsRehash(weak), true);
      assert.equal(await passwords.verify(weak, 'x'), true);
      assert.equal(passwords.needsRehash('$2b$10$abcdefghijklmnopqrstuv'), true);
    });

    it('answers false for an unknown user and for a hash of another kind', async () => {
      assert.equal(await passwords.verify(undefined, 'x'), false);
      assert.equal(await passwords.verify('$2b$10$abcdefghijklmnopqrstuv', 'x'), false);
    });

    it('works for an unknown user in the parameters of a known one', async () => {
      const seen: string[] = [];
      const verify = argon2.verify;
      argon2.verify = async (digest, plain, options) => {
        seen.push(digest);
        return verify(digest, plain, options);
      };
      try {
        await passwords.verify(undefined, 'x');
      } finally {
        argon2.verify = verify;
      }
      assert.match(seen.join(), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    });

    it('runs one at a time, queues a few, refuses the rest with 503 busy, and recovers', async () => {
      const narrow = makePasswords({ concurrency: 1, maxWaiting: 2 });
      const results = await Promise.allSettled(Array.from({ length: 10 }, () => narrow.verify(undefined, 'x')));
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
      for (const result of results) {
        if (result.status === 'fulfilled') continue;
        assert(result.reason instanceof AppError);
        assert.deepEqual([result.reason.kind, result.reason.code, result.reason.details], ['unavailable', 'busy', { retryAfterSeconds: 2 }]);
      }
      assert.equal(await narrow.verify(undefined, 'x'), false);
    });

    it('rests twice as long as it has worked before the next one, but keeps nobody waiting for his answer', async () => {
      const narrow = makePasswords({ concurrency: 1 });
      const spans: { from: number; to: number }[] = [];
      const answered: number[] = [];
      const verify = argon2.verify;
      argon2.verify = async () => {
        const from = performance.now();
        await pause(10);
        spans.push({ from, to: performance.now() });
        return false;
      };
      try {
        await Promise.all([1, 2, 3].map(async () => answered.push((await narrow.verify(undefined, 'x')) ? 0 : performance.now())));
      } finally {
        argon2.verify = verify;
      }
      const gaps = spans.slice(1).map(({ from }, i) => from - (spans[i]?.to ?? 0));
      assert.ok(gaps.length === 2 && gaps.every((gap) => gap >= 17), gaps.join());
      assert.ok((answered[0] ?? Infinity) < (spans[1]?.from ?? 0));
    });

    it('goes on after a hash that cannot be read', async () => {
      const narrow = makePasswords({ concurrency: 1, maxWaiting: 2 });
      await assert.rejects(narrow.verify('$argon2id$broken', 'x'));
      assert.equal(await narrow.verify(undefined, 'x'), false);
    });
  });
});
