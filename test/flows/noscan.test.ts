import { strict as assert } from 'node:assert';
import mongoose from 'mongoose';
import { startTemporary, type Temporary } from '../../src/platform/embedded/temporary.ts';
import { withDatabase } from '../support/database.ts';
import { killAll, type ServiceProcess, startProcess, until } from '../support/process.ts';
import { listPaths, singlePaths, takeTour, type Tour } from '../support/tour.ts';

/** A server that refuses to walk through a collection: code 291, which no caller of ours expects. */
describe('a database that refuses to scan', function () {
  this.timeout(90_000);
  let server: Temporary;
  let client: mongoose.mongo.MongoClient;
  let service: ServiceProcess;
  let tour: Tour;

  before(async () => {
    server = await startTemporary('noscan', { setParameters: { notablescan: 1 } });
    const uri = withDatabase(server.uri, `dakiya_noscan_${process.pid}_test`);
    client = await mongoose.mongo.MongoClient.connect(uri);
    service = await startProcess({ MONGODB_URI: uri, LOG_LEVEL: 'debug' });
  });
  after(async () => {
    await killAll();
    await client?.close();
    await server?.stop();
  });

  /** The process works by itself; here only its queues are watched. */
  async function settle(): Promise<void> {
    const db = client.db();
    const due = { state: { $in: ['queued', 'running'] }, runAt: { $lte: new Date() } };
    await until('the queues are empty', async () => (await db.collection('outbox').countDocuments({ pending: true })) + (await db.collection('jobs').countDocuments(due)) === 0);
  }

  it('refuses', async () => {
    await assert.rejects(client.db().collection('outbox').findOne({ never: 1 }), { code: 291 });
  });

  it('serves the whole way of a merchant', async () => {
    tour = await takeTour(service.api, settle);
  });

  it('serves every list, filter and single thing', async () => {
    const { plain, filtered } = listPaths(tour);
    const wrong: string[] = [];
    for (const path of [...plain, ...filtered, ...singlePaths(tour)]) {
      const answer = await service.api('GET', path, { token: tour.token });
      if (answer.status !== 200) wrong.push(`${path}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('leaves no error in the log', () => {
    // Checks walk through everything on purpose.
    const ofRequestsAndJobs = service.logs().filter((line) => !String(line['event']).startsWith('check.'));
    const bad = ofRequestsAndJobs.filter((line) => line['level'] === 'error' || JSON.stringify(line).includes('notablescan'));
    assert.deepEqual(bad, []);
  });
});
