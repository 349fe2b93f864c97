import { strict as assert } from 'node:assert';
import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { notificationsModule, queueMail } from '../../src/modules/notifications/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../../src/platform/context.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { startWorld, type World } from '../support/world.ts';

const MAIL = { kind: 'test', to: 'meera@example.in', subject: 'Hello', text: 'Open https://x.example/?token=s3cret', links: ['https://x.example/?token=s3cret'] };
const ctx = systemCtx('test', PLATFORM_COMPANY_ID);

describe('notifications', () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  afterEach(async () => {
    await world.wipe();
  });
  after(async () => {
    await world.close();
  });

  it('sends nothing when the transaction fails', async () => {
    const failing = withTransaction(ctx, async (ctx) => {
      await queueMail(ctx, MAIL);
      throw new Error('no');
    });
    await assert.rejects(failing, /no/);
    await world.settle();
    assert.deepEqual((await world.api('GET', '/dev/mailbox')).body, { data: [] });
    assert.equal(await world.db.collection('mails').countDocuments(), 0);
  });

  it('delivers once into the mailbox, newest first, and forgets the text afterwards', async () => {
    await withTransaction(ctx, (ctx) => queueMail(ctx, MAIL));
    await world.settle();
    world.advance(1000);
    await withTransaction(ctx, (ctx) => queueMail(ctx, { ...MAIL, subject: 'Second' }));
    await world.settle();
    await world.db.collection('jobs').updateMany({}, { $set: { state: 'queued' } });
    await world.settle();
    const { body } = await world.api('GET', '/dev/mailbox?to=Meera@Example.in');
    assert.deepEqual(body.data.map((m: { subject: string }) => m.subject), ['Second', 'Hello']);
    assert.deepEqual(Object.keys(body.data[0]).sort(), ['createdAt', 'id', 'links', 'subject', 'text', 'to']);
    assert.deepEqual(body.data[0].links, MAIL.links);
    const kept = JSON.stringify([await world.db.collection('jobs').find().toArray(), await world.db.collection('mails').find().toArray()]);
    assert.ok(!kept.includes('s3cret') && !kept.includes('meera'));
    assert.equal(await world.db.collection('mails').countDocuments({ state: 'sent' }), 2);
    assert.ok(!world.logLines.some((line) => line.includes('s3cret') || line.includes('meera@')));
    await world.checks();
  });

  it('has a check that finds a mail without its job', async () => {
    await withTransaction(ctx, (ctx) => queueMail(ctx, MAIL));
    const run = async () => (await Promise.all((notificationsModule.checks ?? []).map((check) => check.run()))).flat();
    assert.deepEqual(await run(), []);
    await world.db.collection('jobs').deleteMany({});
    assert.match((await run()).join(), /no job will send it/);
  });
});

describe('notifications over SMTP', () => {
  let world: World;
  let smtp: Awaited<ReturnType<typeof smallSmtpServer>>;

  before(async () => {
    smtp = await smallSmtpServer();
    const { port } = smtp.server.address() as AddressInfo;
    world = await startWorld({ SMTP_URL: `smtp://127.0.0.1:${port}` });
  });
  after(async () => {
    await world.close();
    await smtp.close();
  });

  it('hands the mail to the server, and not to the mailbox', async () => {
    await withTransaction(ctx, (ctx) => queueMail(ctx, MAIL));
    await world.settle();
    assert.equal(smtp.received.length, 1);
    assert.match(smtp.received[0] ?? '', /Subject: Hello/);
    assert.match(smtp.received[0] ?? '', /Message-ID: <[0-9a-f]{24}@dakiya\.test>/);
    assert.deepEqual((await world.api('GET', '/dev/mailbox')).body.data, []);
  });

  it('leaves a server that is away in peace, and hands the mail over when it is back', async () => {
    smtp.away = true;
    const asked = smtp.senders;
    for (let n = 0; n < 7; n += 1) await withTransaction(ctx, (ctx) => queueMail(ctx, { ...MAIL, subject: `Late ${n}` }));
    await world.settle();
    assert.equal((await world.api('GET', '/health')).body.breakers.smtp, 'open');
    // The pool repeats the first by itself, on a new connection in the place of the one that it had kept.
    assert.equal(smtp.senders - asked, 6, 'no mail is tried while it is open');
    smtp.away = false;
    for (let n = 0; n < 4; n += 1) {
      world.advance(3_600_000);
      await world.settle();
    }
    assert.equal(smtp.received.filter((mail) => mail.includes('Subject: Late')).length, 7);
    assert.equal((await world.api('GET', '/health')).body.breakers.smtp, 'closed');
  });

  it('tries again, and ends as a dead job and a failed mail', async () => {
    smtp.refuse = true;
    await withTransaction(ctx, (ctx) => queueMail(ctx, MAIL));
    for (let i = 0; i < 8; i += 1) {
      await world.settle();
      world.advance(3_600_000);
    }
    assert.equal(await world.db.collection('mails').countDocuments({ state: 'failed' }), 1);
    assert.equal(await world.db.collection('jobs').countDocuments({ name: 'mail.send', state: 'dead' }), 1);
  });
});

/** Speaks just enough SMTP to take mails, or to refuse them. */
async function smallSmtpServer(): Promise<typeof result> {
  const sockets = new Set<Socket>();
  const received: string[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.write('220 test\r\n');
    let data: string | undefined;
    socket.on('data', (chunk) => {
      const text = chunk.toString('utf8');
      if (data !== undefined) {
        data += text;
        if (!data.endsWith('\r\n.\r\n')) return;
        received.push(data);
        data = undefined;
        socket.write('250 taken\r\n');
      } else if (/^DATA/i.test(text)) {
        data = '';
        socket.write('354 go on\r\n');
      } else if (/^MAIL/i.test(text)) {
        result.senders += 1;
        if (result.away) socket.destroy();
        else socket.write('250 ok\r\n');
      } else if (/^RCPT/i.test(text) && result.refuse) socket.write('451 not now\r\n');
      else if (/^QUIT/i.test(text)) socket.end('221 bye\r\n');
      else socket.write('250 ok\r\n');
    });
  });
  const result = {
    server,
    received,
    refuse: false,
    away: false,
    /** How often a mail was begun. */
    senders: 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return result;
}
