import { strict as assert } from 'node:assert';
import { makeTokens, newApiKey, readApiKey, sameHash } from '../../src/platform/tokens.ts';

const tokens = makeTokens('Zq8vN2mX5rT9wK3pL7sD1fG4hJ6bC0yU');
const others = makeTokens('Yp7uM1lW4qS8vJ2oK6rC0eF3gI5aB9xT');
const ID = '0123456789abcdef01234567';

describe('tokens', () => {
  describe('refresh tokens', () => {
    it('are read back from their text', () => {
      const token = tokens.newRefresh();
      assert.equal(token.gen, 0);
      const text = tokens.writeRefresh(token);
      assert.match(text, /^rt2\.[\w-]{16}\.0\.[\w-]{43}\.[\w-]{22}$/);
      assert.deepEqual(tokens.readRefresh(text), token);
    });

    it('have one successor each, however often it is asked for', () => {
      const first = tokens.newRefresh();
      const second = tokens.refreshSuccessor(first);
      assert.deepEqual(tokens.refreshSuccessor(first), second);
      assert.deepEqual([second.sid, second.gen], [first.sid, 1]);
      assert.notEqual(second.secret, first.secret);
      assert.deepEqual(tokens.readRefresh(tokens.writeRefresh(second)), second);
      assert.notDeepEqual(tokens.refreshSuccessor(second).secret, second.secret);
      assert.notEqual(others.refreshSuccessor(first).secret, second.secret);
    });

    const good = tokens.newRefresh();
    const text = tokens.writeRefresh(good);
    const [head = '', sid = '', gen = '', secret = '', mac = ''] = text.split('.');
    const forged: [string, string][] = [
      ['a guessed mac', [head, sid, gen, secret, 'A'.repeat(22)].join('.')],
      ['another generation', [head, sid, '7', secret, mac].join('.')],
      ['another secret', [head, sid, gen, tokens.newRefresh().secret, mac].join('.')],
      ['another family', [head, tokens.newRefresh().sid, gen, secret, mac].join('.')],
      ['the mac of another pepper', others.writeRefresh(good)],
      ['another version', text.replace('rt2', 'rt1')],
      ['a generation with a leading zero', [head, sid, '00', secret, mac].join('.')],
      ['a negative generation', [head, sid, '-1', secret, mac].join('.')],
      ['white space', `${text}\n`],
      ['nothing', ''],
    ];
    for (const [name, value] of forged) it(`with ${name} are not ours`, () => assert.equal(tokens.readRefresh(value), undefined));

    it('with any changed character are not ours', () => {
      for (let index = 4; index < text.length; index += 1) {
        const changed = `${text.slice(0, index)}${text[index] === 'A' ? 'B' : 'A'}${text.slice(index + 1)}`;
        const read = tokens.readRefresh(changed);
        // the last of 22 characters carries four bits, so another spelling of the same bytes is refused as well
        assert.equal(read, undefined, `character ${index}`);
      }
    });
  });

  describe('hashes', () => {
    it('depend on secret, purpose and pepper, and do not show the secret', () => {
      const { token, hash } = tokens.mint('resetPassword');
      assert.equal(Buffer.from(token, 'base64url').length, 32);
      assert.equal(tokens.hash('resetPassword', token), hash);
      assert.notEqual(tokens.hash('verifyEmail', token), hash);
      assert.notEqual(others.hash('resetPassword', token), hash);
      assert(!hash.includes(token));
    });

    it('compare in full', () => {
      assert.equal(sameHash('abc', 'abc'), true);
      assert.equal(sameHash('abc', 'abd'), false);
      assert.equal(sameHash('abc', 'abcd'), false);
    });

    it('refuse a short pepper', () => assert.throws(() => makeTokens('short'), /32/));
  });

  describe('API keys', () => {
    it('are read back', () => {
      const { key, secret } = newApiKey(ID);
      assert.match(key, /^dk_live_[0-9a-f]{24}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
      assert.deepEqual(readApiKey(key), { id: ID, secret });
      assert.notEqual(newApiKey(ID).secret, secret);
    });

    it('with any changed character are malformed', () => {
      const { key } = newApiKey(ID);
      for (let index = 0; index < key.length; index += 1) {
        const changed = `${key.slice(0, index)}${key[index] === 'a' ? 'b' : 'a'}${key.slice(index + 1)}`;
        assert.equal(readApiKey(changed), undefined, changed);
      }
    });

    for (const wrong of ['', 'dk_live_', 'dk_test_x', `dk_live_${ID}`, `${newApiKey(ID).key} `]) {
      it(`${JSON.stringify(wrong.slice(0, 20))} is none`, () => assert.equal(readApiKey(wrong), undefined));
    }

    it('use all 62 characters evenly', () => {
      const counts = new Map<string, number>();
      for (let n = 0; n < 1_000; n += 1) for (const letter of newApiKey(ID).secret) counts.set(letter, (counts.get(letter) ?? 0) + 1);
      assert.equal(counts.size, 62);
      for (const count of counts.values()) assert(count > 500 && count < 900, String(count));
    });

    it('need an id', () => assert.throws(() => newApiKey('x'), /24-hex/));
  });
});
