import { strict as assert } from 'node:assert';
import { Writable } from 'node:stream';
import mongoose from 'mongoose';
import { loadConfig } from '../../src/config.ts';
import { anchorChain } from '../../src/platform/audit-memory.ts';
import { allChecks } from '../../src/modules.ts';
import { useClock } from '../../src/platform/clock.ts';
import { onCommandSent } from '../../src/platform/db/connect.ts';
import { randomToken } from '../../src/platform/ids.ts';
import { makeLogger } from '../../src/platform/logger.ts';
import { startService, type Service } from '../../src/service.ts';
import { testDatabaseUri } from './database.ts';

export interface Answer {
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into any answer; assertions do the typing
  body: any;
  headers: Headers;
  bytes: Buffer;
}

export interface CallOptions {
  token?: string | undefined;
  body?: unknown;
  /** Sent as they are instead of a JSON body. */
  raw?: string | Uint8Array | FormData;
  headers?: Record<string, string>;
  /** The Idempotency-Key. */
  key?: string;
  /** The If-Match version. */
  ifMatch?: number;
}

export interface Merchant {
  token: string;
  companyId: string;
  userId: string;
  locationId: string;
  email: string;
  password: string;
}

export interface World {
  url: string;
  service: Service;
  /** The name-ending-in-_test database, raw: for planting faults and looking at what is stored. */
  db: mongoose.mongo.Db;
  mongodbUri: string;
  /** Everything logged so far, one JSON line each. */
  logLines: string[];
  api(method: string, path: string, options?: CallOptions): Promise<Answer>;
  merchant(options?: { verified?: boolean; location?: boolean }): Promise<Merchant>;
  /** A further member of a merchant's company; answers the token. */
  member(merchant: Merchant, role: string): Promise<string>;
  /** Delivers events and runs due jobs until nothing is due. */
  settle(): Promise<void>;
  /** Runs every module's checks and fails with what they found. */
  checks(): Promise<void>;
  /** Moves the clock of the service forward. */
  advance(ms: number): void;
  /** How many commands were sent to the database since the last call. */
  commands(): number;
  /** Empties every collection. */
  wipe(): Promise<void>;
  close(): Promise<void>;
}

export const PASSWORD = 'Correct-Horse-7-Battery';

/** Starts the service in this process on a database of its own, behind a real listener, with a clock that can be moved. */
export async function startWorld(overrides: Record<string, string> = {}): Promise<World> {
  const mongodbUri = await testDatabaseUri();
  const config = await loadConfig({
    NODE_ENV: 'test',
    PORT: '0',
    SEED_DEMO: 'off',
    DATA_DIR: `${process.env['TMPDIR'] ?? '/tmp'}/dakiya-tests-${process.pid}`,
    RATE_LIMIT_API_PER_MINUTE: '1000000',
    RATE_LIMIT_WRITE_PER_MINUTE: '1000000',
    RATE_LIMIT_PUBLIC_PER_MINUTE: '1000000',
    RATE_LIMIT_SENSITIVE_PER_HOUR: '1000000',
    RATE_LIMIT_REGISTER_PER_HOUR: '1000000',
    RATE_LIMIT_AUTH_FAILURES: '1000000',
    ...overrides,
    MONGODB_URI: mongodbUri,
  });
  let offset = 0;
  const restoreClock = useClock({ ms: () => Date.now() + offset });
  const logLines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logLines.push(chunk.toString('utf8').trimEnd());
      done();
    },
  });
  const log = makeLogger({ level: 'debug', stream });
  const service = await startService({ config, log, mongodbUri, listen: true, background: false });
  const { db } = mongoose.connection;
  if (!db?.databaseName.endsWith('_test') || !service.url) throw new Error('Not a test database');
  let sent = 0;
  const stopCounting = onCommandSent(() => {
    sent += 1;
  });
  const url = service.url;
  let people = 0;

  const api: World['api'] = async (method, path, { token, body, raw, headers = {}, key, ifMatch } = {}) => {
    const answer = await fetch(url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
        ...headers,
      },
      ...(raw !== undefined ? { body: raw } : body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const json = (answer.headers.get('content-type') ?? '').includes('json');
    return { status: answer.status, headers: answer.headers, bytes, body: json && bytes.length > 0 ? JSON.parse(bytes.toString('utf8')) : bytes.toString('utf8') };
  };

  const settle = async (): Promise<void> => {
    for (;;) if ((await service.outbox.deliverDue()) + (await service.jobs.runDue()) === 0) return;
  };

  const tokenFromMail = async (to: string, kind: RegExp): Promise<string> => {
    await settle();
    const { body } = await api('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`);
    const mail = (body.data as { subject: string; text: string; links: string[] }[]).find((m) => kind.test(m.subject + m.text));
    const token = mail?.links.map((l) => new URL(l).searchParams.get('token')).find(Boolean);
    assert.ok(token, `a mail to the new member with a token`);
    return token;
  };

  return {
    url,
    service,
    db,
    mongodbUri,
    logLines,
    api,
    settle,
    async merchant({ verified = true, location = true } = {}) {
      people += 1;
      const email = `owner${people}.${randomToken(4).toLowerCase().replace(/[^a-z0-9]/g, 'x')}@shop.example.in`;
      const registered = await api('POST', '/v1/auth/register', {
        body: { companyName: `Shop ${people}`, name: 'Asha Rao', email, phone: '9800012345', password: PASSWORD },
      });
      assert.equal(registered.status, 201, JSON.stringify(registered.body));
      const { accessToken: token, user, company } = registered.body;
      if (verified) {
        const proved = await api('POST', '/v1/auth/email/verify', { body: { token: await tokenFromMail(email, /verif|confirm/i) } });
        assert.ok(proved.status < 300, JSON.stringify(proved.body));
      }
      let locationId = '';
      if (location) {
        const added = await api('POST', '/v1/locations', {
          token,
          body: { name: 'Main', contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' },
        });
        assert.equal(added.status, 201, JSON.stringify(added.body));
        locationId = added.body.id;
      }
      return { token, companyId: company.id, userId: user.id, locationId, email, password: PASSWORD };
    },
    async member(merchant, role) {
      people += 1;
      const email = `member${people}.${randomToken(4).toLowerCase().replace(/[^a-z0-9]/g, 'x')}@shop.example.in`;
      const created = await api('POST', '/v1/company/members', { token: merchant.token, body: { email, name: 'Ravi Iyer', role, password: PASSWORD } });
      assert.equal(created.status, 201, JSON.stringify(created.body));
      const login = await api('POST', '/v1/auth/login', { body: { email, password: PASSWORD } });
      assert.equal(login.status, 200, JSON.stringify(login.body));
      return login.body.accessToken;
    },
    async checks() {
      for (const check of allChecks()) assert.deepEqual(await check.run(), [], check.name);
    },
    advance(ms) {
      offset += ms;
    },
    commands() {
      const n = sent;
      sent = 0;
      return n;
    },
    async wipe() {
      anchorChain(undefined);
      // The keys stay: this process holds them, as every process holds those it has used.
      for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) if (name !== 'keyvault') await db.collection(name).deleteMany({});
    },
    async close() {
      stopCounting();
      await service.stopAccepting();
      await service.stopBackground();
      await db.dropDatabase();
      await service.close();
      restoreClock();
    },
  };
}

/** Runs `n` calls at once and counts their statuses. */
export async function race(n: number, call: (i: number) => Promise<Answer>): Promise<{ answers: Answer[]; statuses: Record<string, number> }> {
  const answers = await Promise.all(Array.from({ length: n }, (_, i) => call(i)));
  const statuses: Record<string, number> = {};
  for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1;
  return { answers, statuses };
}

