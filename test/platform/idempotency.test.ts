import { strict as assert } from 'node:assert';
import { companyRoutes } from '../../src/modules/companies/company.routes.ts';
import { answerRow, type AnswerRow } from '../../src/platform/db/answers.ts';
import { withTransaction } from '../../src/platform/db/transaction.ts';
import { conflict, notFound, unavailable } from '../../src/platform/errors.ts';
import { hashOfRequest } from '../../src/platform/idempotency.ts';
import { newId } from '../../src/platform/ids.ts';
import { field, route, shape } from '../../src/platform/route.ts';
import { rawText } from '../support/canaries.ts';
import { gate, openHouse, serveRoutes, tokenOf, type House, type Reply, type Served } from './house.ts';
import { books } from './shelf.ts';

const LOCATION = { name: 'Main', contactName: 'Asha Rao', phone: '9800012345', line1: '1 MG Road', city: 'New Delhi', state: 'Delhi', pincode: '110001' };
const DAY_MS = 86_400_000;

interface BookInput {
  title: string;
}

describe('idempotency', () => {
  let house: House;
  let served: Served;
  let companyId: string;
  let token: string;
  /** What the next calls of POST /books do before they write. */
  let onEnter: () => Promise<void> = () => Promise.resolve();
  let onLeave: () => Promise<void> = () => Promise.resolve();

  const addBook = route({
    method: 'post',
    path: '/books',
    summary: 'Add a book',
    permission: 'locations:write',
    idempotent: 'required',
    status: 201,
    body: shape<BookInput>({ title: field.text(100).required() }),
    response: shape<{ id: string; version: number }>({ id: field.id().required(), version: field.version().required() }),
    handle: async (ctx, { body }) => {
      await onEnter();
      const book = await withTransaction(ctx, async (ctx) => books.insert(ctx, { title: body.title, stock: 1, tags: [] }));
      await onLeave();
      return book;
    },
    view: (book) => ({ id: book._id, version: book.version }),
  });

  before(async () => {
    house = await openHouse();
    served = await serveRoutes(house, [...companyRoutes, addBook]);
  });
  beforeEach(() => {
    companyId = newId();
    token = tokenOf(companyId);
    onEnter = () => Promise.resolve();
    onLeave = () => Promise.resolve();
  });
  after(async () => {
    await served.close();
    await house.close();
  });

  const addLocation = (key: string | undefined, body: object = LOCATION, as = token): Promise<Reply> => served.call('POST', '/v1/locations', { token: as, body, ...(key === undefined ? {} : { key }) });
  const locations = (of = companyId): Promise<number> => house.db.collection('locations').countDocuments({ companyId: of });
  const replayed = (reply: Reply): boolean => reply.headers.get('idempotent-replayed') === 'true';

  it('twenty at once under one key: one effect, nineteen replays of the same answer', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => addLocation('once')));
    assert.deepEqual([...new Set(answers.map((a) => a.status))], [201]);
    assert.equal(new Set(answers.map((a) => a.body.id as string)).size, 1);
    assert.equal(new Set(answers.map((a) => a.headers.get('etag'))).size, 1);
    assert.equal(answers.filter(replayed).length, 19);
    assert.equal(await locations(), 1);
  });

  it('without a key, or with another, each call has its own effect', async () => {
    const answers = [await addLocation(undefined), await addLocation(undefined), await addLocation('a'), await addLocation('b')];
    assert.deepEqual(answers.map((a) => [a.status, replayed(a)]), Array.from({ length: 4 }, () => [201, false]));
    assert.equal(await locations(), 4);
  });

  it('the same key with another body is 409 idempotency_key_reused', async () => {
    await addLocation('body');
    const other = await addLocation('body', { ...LOCATION, name: 'Second' });
    assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_key_reused']);
    assert.equal((await addLocation('body')).status, 201);
    assert.equal(await locations(), 1);
  });

  it('keys of two companies, and of two routes, never meet', async () => {
    const other = newId();
    await addLocation('mine');
    const theirs = await addLocation('mine', LOCATION, tokenOf(other));
    const book = await served.call('POST', '/books', { token, body: { title: 'mine' }, key: 'mine' });
    assert.deepEqual([theirs, book].map((a) => [a.status, replayed(a)]), [[201, false], [201, false]]);
    assert.deepEqual([await locations(), await locations(other)], [1, 1]);
  });

  it('a refusal that business rules decided is replayed, even when it would be decided otherwise now', async () => {
    for (const error of [conflict('out_of_stock', 'none'), notFound('book')]) {
      onEnter = () => Promise.reject(error);
      const key = `refused-${error.code}`;
      const first = await served.call('POST', '/books', { token, body: { title: key }, key });
      onEnter = () => Promise.resolve();
      const second = await served.call('POST', '/books', { token, body: { title: key }, key });
      assert.deepEqual([first.status, replayed(first), second.status, replayed(second)], [first.status, false, first.status, true]);
      assert.deepEqual(second.body, first.body);
      assert.equal(first.body.error.code, error.code);
    }
  });

  it('a 5xx, a 503 and a 403 are not kept: the same key may try again', async () => {
    const viewer = await served.call('POST', '/books', { token: tokenOf(companyId, 'viewer'), body: { title: 'again' }, key: 'again' });
    assert.equal(viewer.status, 403);
    for (const error of [new Error('a fault of ours'), unavailable('busy', 'too many')]) {
      onEnter = () => Promise.reject(error);
      assert((await served.call('POST', '/books', { token, body: { title: 'again' }, key: 'again' })).status >= 500);
    }
    onEnter = () => Promise.resolve();
    const done = await served.call('POST', '/books', { token, body: { title: 'again' }, key: 'again' });
    assert.deepEqual([done.status, replayed(done)], [201, false]);
  });

  it('a body that is not valid is refused anew each time', async () => {
    const bad = await addLocation('shape', { name: 'x' });
    const good = await addLocation('shape');
    assert.deepEqual([bad.status, good.status, replayed(good)], [400, 201, false]);
  });

  it('a process that ended between commit and reply: the next call replays what was committed', async () => {
    onLeave = () => Promise.reject(new Error('the process ends here'));
    const lost = await served.call('POST', '/books', { token, body: { title: 'lost' }, key: 'lost' });
    assert.equal(lost.status, 500);
    onLeave = () => Promise.resolve();
    const second = await serveRoutes(house, [addBook]);
    const again = await second.call('POST', '/books', { token, body: { title: 'lost' }, key: 'lost' });
    await second.close();
    assert.deepEqual([again.status, replayed(again), again.headers.get('etag')], [201, true, '"1"']);
    const stored = await house.db.collection<{ _id: string }>('test_books').find({ companyId }).toArray();
    assert.deepEqual(stored.map((b) => b._id), [again.body.id]);
  });

  it('what it keeps is sealed, and opens for its own key only', async () => {
    const { body } = await served.call('POST', '/books', { token, body: { title: 'sealed answer' }, key: 'sealed' });
    const rows = house.db.collection<AnswerRow>('idempotency');
    const row = await rows.findOne({ _id: `${companyId}|post /books|sealed` });
    assert(row && !(await rawText(house.db, 'idempotency')).includes(body.id));
    await rows.insertOne({ ...row, _id: `${companyId}|post /books|moved` });
    const moved = await served.call('POST', '/books', { token, body: { title: 'sealed answer' }, key: 'moved' });
    assert.deepEqual([moved.status, JSON.stringify(moved.body).includes(body.id)], [409, false]);
  });

  it('another process that answers first: this one undoes its own effect and replays', async () => {
    const body = JSON.stringify({ title: 'race' });
    onEnter = async () => {
      const row = await answerRow({ key: `${companyId}|post /books|race`, requestHash: hashOfRequest(body), companyId, status: 201, body: '{"id":"theirs"}' }, Date.now());
      await house.db.collection<{ _id: string }>('idempotency').insertOne(row);
    };
    const answer = await served.call('POST', '/books', { token, raw: body, key: 'race', headers: { 'content-type': 'application/json' } });
    assert.deepEqual([answer.status, replayed(answer), answer.body], [201, true, { id: 'theirs' }]);
    assert.equal(await house.db.collection('test_books').countDocuments({ companyId }), 0);
  });

  it('a call that comes while the first is at work waits for its answer', async () => {
    const { opened, open } = gate();
    const entered = gate();
    onEnter = async () => {
      entered.open();
      await opened;
    };
    const first = served.call('POST', '/books', { token, body: { title: 'wait' }, key: 'wait' });
    await entered.opened;
    onEnter = () => Promise.reject(new Error('the second call must not work'));
    const second = served.call('POST', '/books', { token, body: { title: 'wait' }, key: 'wait' });
    open();
    const [a, b] = await Promise.all([first, second]);
    assert.deepEqual([a.status, b.status, replayed(b), b.body.id], [201, 201, true, a.body.id]);
  });

  it('the first one still at work after 5 s: 409 request_in_progress', async function () {
    this.timeout(15_000);
    const { opened, open } = gate();
    const entered = gate();
    onEnter = async () => {
      entered.open();
      await opened;
    };
    const first = served.call('POST', '/books', { token, body: { title: 'slow' }, key: 'slow' });
    await entered.opened;
    const second = await served.call('POST', '/books', { token, body: { title: 'slow' }, key: 'slow' });
    assert.deepEqual([second.status, second.body.error.code], [409, 'request_in_progress']);
    open();
    assert.equal((await first).status, 201);
    assert.equal((await served.call('POST', '/books', { token, body: { title: 'slow' }, key: 'slow' })).status, 201);
  });

  it('a key has 1 to 255 visible characters; a route may require one', async () => {
    assert.equal((await addLocation('k'.repeat(255))).status, 201);
    for (const key of ['k'.repeat(256), 'with blank', 'é']) {
      const answer = await addLocation(key);
      assert.deepEqual([answer.status, answer.body.error.details.fields[0].path], [400, 'Idempotency-Key']);
    }
    const without = await served.call('POST', '/books', { token, body: { title: 'x' } });
    assert.deepEqual([without.status, without.body.error.code], [400, 'idempotency_key_required']);
  });

  it('after 24 hours the key is free again, whether or not the server has swept', async () => {
    const first = await addLocation('day');
    house.advance(DAY_MS - 60_000);
    assert.equal(replayed(await addLocation('day')), true);
    house.advance(120_000);
    const fresh = await addLocation('day');
    assert.deepEqual([fresh.status, replayed(fresh), fresh.body.id === first.body.id], [201, false, false]);
    assert.equal(replayed(await addLocation('day')), true);
    onEnter = () => Promise.reject(conflict('out_of_stock', 'none'));
    await served.call('POST', '/books', { token, body: { title: 'day' }, key: 'refused' });
    house.advance(DAY_MS + 1);
    onEnter = () => Promise.resolve();
    assert.equal((await served.call('POST', '/books', { token, body: { title: 'day' }, key: 'refused' })).status, 201);
    assert.equal(await locations(), 2);
  });
});
