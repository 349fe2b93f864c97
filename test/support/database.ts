import { startTemporary, type Temporary } from '../../src/platform/embedded/temporary.ts';

/**
 * Failpoints are allowed, and the tables of a dropped database go with the next checkpoint. Kept for the usual five
 * minutes, those of all test files together reach the system's limit of open files, which ends the server.
 */
const SET_PARAMETERS = { enableTestCommands: 1, minSnapshotHistoryWindowInSeconds: 5 };

let shared: Promise<Temporary> | undefined;
let count = 0;

/** The replica set that all test files of this run share; it ends with the process. */
export async function sharedReplicaSet(): Promise<Temporary> {
  shared ??= startTemporary('tests', { setParameters: SET_PARAMETERS });
  return shared;
}

/** A URI whose database name ends in `_test`; setup refuses any other. */
export async function testDatabaseUri(): Promise<string> {
  const { uri } = await sharedReplicaSet();
  count += 1;
  return withDatabase(uri, `dakiya_${process.pid}_${count}_test`);
}

/** The same server, another database. */
export function withDatabase(uri: string, name: string): string {
  if (!name.endsWith('_test')) throw new Error('Tests touch only databases whose name ends in _test');
  return uri.replace(/\/(?:[^/?]*)(\?|$)/, `/${name}$1`);
}
