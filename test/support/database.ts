import { startTemporary, type Temporary } from '../../src/platform/embedded/temporary.ts';

let shared: Promise<Temporary> | undefined;
let count = 0;

/** The replica set that all test files of this run share; it ends with the process. */
export async function sharedReplicaSet(): Promise<Temporary> {
  shared ??= startTemporary('tests', { setParameters: { enableTestCommands: 1 } });
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
