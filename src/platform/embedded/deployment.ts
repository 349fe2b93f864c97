import type mongoose from 'mongoose';
import { SetupError } from './setup-error.ts';

export interface Deployment {
  kind: 'replica_set' | 'sharded';
  /** Null for a sharded cluster. */
  setName: string | null;
  /** Such as `6.0.5`. */
  version: string;
}

/** Says what kind of MongoDB this is; refuses (SetupError) a server without replication, since it has no transactions. */
export async function describeDeployment(client: mongoose.mongo.MongoClient): Promise<Deployment> {
  const admin = client.db('admin');
  const [hello, build] = await Promise.all([admin.command({ hello: 1 }), admin.command({ buildInfo: 1 })]);
  const version = String(build['version']);
  if (hello['msg'] === 'isdbgrid') return { kind: 'sharded', setName: null, version };
  if (typeof hello['setName'] === 'string') return { kind: 'replica_set', setName: hello['setName'], version };
  const initiate = 'run once: mongosh --eval "rs.initiate()"';
  if (hello['isreplicaset'] === true) {
    throw new SetupError(`MONGODB_URI names a replica set that was never initiated: ${initiate}.`);
  }
  throw new SetupError(
    'MONGODB_URI names a standalone MongoDB server, and transactions need a replica set (one node is enough): ' +
      `start that mongod with --replSet rs0 and ${initiate}. ` +
      'Or leave MONGODB_URI unset in development: an embedded replica set is then used.',
  );
}
