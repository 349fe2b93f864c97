import { strict as assert } from 'node:assert';
import { Writable } from 'node:stream';
import { useClock } from '../../src/platform/clock.ts';
import { AppError } from '../../src/platform/errors.ts';
import { makeLogger, type Log, type LogLevel } from '../../src/platform/logger.ts';
import { LOG_AS } from '../../src/platform/logger.redact.ts';

type Line = Record<string, unknown>;

function capture(level: LogLevel = 'debug'): { log: Log; lines: () => Promise<Line[]>; text: () => Promise<string> } {
  let written = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString();
      done();
    },
  });
  const log = makeLogger({ level, stream });
  const text = async (): Promise<string> => {
    await log.flush();
    return written;
  };
  const lines = async (): Promise<Line[]> => (await text()).trim().split('\n').filter(Boolean).map((line) => JSON.parse(line) as Line);
  return { log, lines, text };
}

async function one(fields: Record<string, unknown>): Promise<Line> {
  const { log, lines } = capture();
  log.info('test.event', fields);
  const [line] = await lines();
  assert(line);
  return line;
}

describe('logger', () => {
  it('outlives its reader: a closed pipe costs lines, not the process', async () => {
    let tries = 0;
    const stream = new Writable({
      write(_chunk, _encoding, done) {
        tries += 1;
        done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      },
    });
    const log = makeLogger({ level: 'debug', stream });
    log.info('test.first');
    await log.flush();
    for (let n = 0; n < 100; n += 1) log.error('test.later');
    await log.flush();
    assert.equal(tries, 1);
  });

  it('drops and counts lines while its reader is 8 MiB behind', async () => {
    const waiting: (() => void)[] = [];
    let written = '';
    let reading = false;
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        written += chunk.toString();
        if (reading) done();
        else waiting.push(done);
      },
    });
    const log = makeLogger({ level: 'info', stream });
    const filler = 'x'.repeat(1_000);
    for (let n = 0; n < 12_000; n += 1) log.info('test.flood', { filler, n });
    assert(stream.writableLength < 9 * 1024 * 1024, `${stream.writableLength} bytes wait`);
    reading = true;
    for (const done of waiting) done();
    await log.flush();
    log.info('test.after');
    await log.flush();
    const lines = written.trim().split('\n').map((text) => JSON.parse(text) as Line);
    const flood = lines.filter((line) => line['event'] === 'test.flood').length;
    const told = lines.filter((line) => line['event'] === 'log.dropped');
    assert.equal(told.length, 1);
    assert.equal(Number(told[0]?.['lines']) + flood, 12_000);
    assert.equal(lines.at(-1)?.['event'], 'test.after');
  });

  it('writes one JSON line with time, level, event and fields', async () => {
    const restore = useClock({ ms: () => 1_800_000_000_000 });
    try {
      assert.deepEqual(await one({ orderId: 'x1', durationMs: 12.5, ok: true, none: null }), {
        time: '2027-01-15T08:00:00.000Z',
        level: 'info',
        event: 'test.event',
        orderId: 'x1',
        durationMs: 12.5,
        ok: true,
        none: null,
      });
    } finally {
      restore();
    }
  });

  it('keeps line breaks of values inside the line', async () => {
    const { log, text } = capture();
    log.warn('a.b', { note: 'one\ntwo\r\n{"level":"error"}' });
    assert.equal((await text()).trim().split('\n').length, 1);
  });

  for (const [level, expected] of [['error', 1], ['warn', 2], ['info', 3], ['debug', 4]] as const) {
    it(`at level ${level} writes ${expected} of four lines`, async () => {
      const { log, lines } = capture(level);
      log.error('e');
      log.warn('w');
      log.info('i');
      log.debug('d');
      assert.equal((await lines()).length, expected);
    });
  }

  it('adds the fields of a child, and only there', async () => {
    const { log, lines } = capture();
    const child = log.child({ part: 'jobs' }).child({ job: 'mail' });
    child.info('x', { n: 1 });
    log.info('y');
    const found = (await lines()).map(({ time: _time, level: _level, ...rest }) => rest);
    assert.deepEqual(found, [{ event: 'x', part: 'jobs', job: 'mail', n: 1 }, { event: 'y' }]);
  });

  it('lets no field replace time, level or event', async () => {
    assert.deepEqual([(await one({ level: 'none', event: 'other' })).level, (await one({ event: 'other' })).event], ['info', 'test.event']);
  });

  describe('hides', () => {
    const keys = [
      'password', 'newPassword', 'PASSWORD', 'passwordHash_password', 'token', 'accessToken', 'refresh_token', 'deviceToken', 'secret',
      'clientSecret', 'webhook-secret', 'Authorization', 'cookie', 'set-cookie', 'pan', 'panNumber', 'aadhaar', 'accountNumber', 'gstin',
      'phone', 'customerPhone', 'email', 'customer_email', 'otp', 'apiKey', 'api_key', 'x-api-key', 'name', 'customerName', 'line1',
      'credentials', 'privateKey', 'encryptionKey', 'dateOfBirth', 'shippingAddress', 'signature', 'tokens', 'emails',
    ];
    for (const key of keys) {
      it(`${key}, at the top, deep inside, in lists and whatever its type`, async () => {
        const { log, text } = capture();
        log.info('x', { [key]: 'CANARY-1', deep: { list: [{ [key]: { inner: 'CANARY-2' } }], [key]: ['CANARY-3'] } });
        log.child({ [key]: 'CANARY-4' }).info('x');
        assert(!(await text()).includes('CANARY'), await text());
      });
    }

    const values = [
      'mail meera.nair@shop.example now', 'Bearer abcdefghijklmnop', 'rt2.abc.0.def.ghi-secret', 'key dk_live_0123456789abcdef01234567_abc_def',
      'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln', 'PAN ABCPE1234F', 'GSTIN 27ABCPE1234F1Z5', 'mongodb://app:hunter2@db/x',
    ];
    for (const value of values) {
      it(`what looks like it in any text: ${value.slice(0, 24)}`, async () => {
        const secret = /meera|abcdefghijklmnop|ghi-secret|dk_live_0|c2ln|ABCPE1234F|hunter2/;
        assert.match(value, secret);
        assert.doesNotMatch(JSON.stringify(await one({ note: value, list: [value], error: new Error(value) })), secret);
      });
    }

    it('in errors: message, stack, causes, details; and drops a driver\'s own properties', async () => {
      const driver = Object.assign(new Error('E11000 dup key: { phone: "+91 98765 43210" }'), { code: 11000, keyValue: { x: 'CANARY' } });
      const cause = new Error('for meera@shop.example with account 123456789012', { cause: driver });
      const line = await one({ error: new AppError('conflict', 'order_exists', 'There', { email: 'CANARY', id: 'o1' }, cause) });
      const text = JSON.stringify(line);
      for (const secret of ['CANARY', '98765', 'meera', '123456789012']) assert(!text.includes(secret), secret);
      const error = line['error'] as Line;
      assert.deepEqual([error['type'], error['code'], error['message'], error['details']], ['AppError', 'order_exists', 'There', { email: '[hidden]', id: 'o1' }]);
      assert.equal(((error['cause'] as Line)['cause'] as Line)['code'], 11000);
      assert.match(String(error['stack']), /logger\.test\.ts/);
    });

    it('a value that says how it is logged', async () => {
      assert.equal((await one({ value: { [LOG_AS]: '[sealed]', clear: 'CANARY' } }))['value'], '[sealed]');
    });
  });

  it('keeps AWB numbers and ids readable', async () => {
    const line = await one({ awb: '123456789012', orderId: '0123456789abcdef01234567', sku: 'TSHIRT-RED-XL' });
    assert.deepEqual([line['awb'], line['orderId'], line['sku']], ['123456789012', '0123456789abcdef01234567', 'TSHIRT-RED-XL']);
  });

  describe('is bounded and never throws', () => {
    const cycle: Record<string, unknown> = { a: 1 };
    cycle['self'] = cycle;
    const causes = new Error('a');
    causes.cause = causes;
    const hostile: [string, Record<string, unknown>][] = [
      ['a cycle', { cycle }],
      ['an error that causes itself', { error: causes }],
      ['a huge text', { text: 'x'.repeat(1_000_000) }],
      ['a huge list', { list: new Array(100_000).fill({ a: 'b'.repeat(100) }) }],
      ['many keys', Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`k${n}`, n]))],
      ['many long texts', { list: Array.from({ length: 40 }, () => 'y'.repeat(1_999)) }],
      ['a getter that throws', { get bad() { throw new Error('no'); } }],
      ['a toJSON that throws', { bad: { toJSON() { throw new Error('no'); } } }],
      ['odd types', { big: 12n, fn: () => 1, sym: Symbol('x'), nan: NaN, bytes: Buffer.from('CANARY'), map: new Map([[1, 2]]), when: new Date(0) }],
      ['a key of the prototype', JSON.parse('{"__proto__": {"a": 1}, "constructor": 1}') as Record<string, unknown>],
      ['an object without prototype', { o: Object.assign(Object.create(null) as object, { a: 1 }) }],
      ['an aggregate', { error: new AggregateError([new Error('one'), new Error('two')], 'both') }],
    ];
    for (const [name, fields] of hostile) {
      it(name, async () => {
        const { log, lines, text } = capture();
        log.error('x.y', fields);
        const [line] = await lines();
        assert.equal(line?.['event'], 'x.y');
        assert.equal('unloggable' in line, name.endsWith('throws'));
        assert((await text()).length <= 18_000, `${(await text()).length} characters`);
        assert(!(await text()).includes('CANARY'));
      });
    }

    it('hands over ten thousand lines in order', async () => {
      const { log, lines } = capture();
      for (let n = 0; n < 10_000; n += 1) log.info('n', { n });
      assert.deepEqual((await lines()).map(({ n }) => n), Array.from({ length: 10_000 }, (_, n) => n));
    });
  });
});
