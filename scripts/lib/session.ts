import { loadConfig, type Config } from '../../src/config.ts';
import { startEmbedded } from '../../src/platform/embedded/replica-set.ts';
import { makeLogger, type Log } from '../../src/platform/logger.ts';
import { connect, disconnect } from '../../src/platform/db/connect.ts';
import { useRuntime } from '../../src/platform/runtime.ts';
import { connectDatabase, startService, type Service } from '../../src/service.ts';

/** What a command works with: the running server's database (joined or started), services open, nothing in the background. */
export interface Session {
  config: Config;
  log: Log;
  service: Service;
}

/**
 * Runs one command against the database of this configuration: MONGODB_URI, else the embedded server, which is joined
 * when it runs and started when not. Everything is closed afterwards, whatever happens.
 */
export async function withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
  return onDatabase(async ({ config, log, mongodbUri }) => {
    const service = await startService({ config, log, mongodbUri, listen: false, background: false });
    try {
      return await work({ config, log, service });
    } finally {
      await service.stopBackground();
      await service.close();
    }
  });
}

/** Runs one command with nothing but a connection: for what must work while the service refuses to start. */
export async function withConnection<T>(work: () => Promise<T>): Promise<T> {
  return onDatabase(async ({ config, log, mongodbUri }) => {
    useRuntime({ config, log });
    try {
      await connect({ uri: mongodbUri, poolSize: config.mongoPoolSize, onSlow: () => undefined, slowMs: config.slowQueryMs });
      return await work();
    } finally {
      await disconnect();
    }
  });
}

async function onDatabase<T>(work: (at: { config: Config; log: Log; mongodbUri: string }) => Promise<T>): Promise<T> {
  const config = await loadConfig();
  const log = makeLogger({ level: 'error', stream: process.stderr });
  const embedded = config.mongodbUri === undefined ? await startEmbedded({ dataDir: config.dataDir, binary: config.mongodBinary, cacheDir: config.dakiyaCacheDir }) : undefined;
  try {
    return await work({ config, log, mongodbUri: config.mongodbUri ?? embedded?.uri ?? '' });
  } finally {
    await embedded?.stop();
  }
}

/**
 * Runs one command against the same database as it is: nothing is created, prepared or started. For commands that bring
 * a database into shape. Without `checkSecrets` it does not even note the secrets of an empty database.
 */
export async function withDatabase<T>(work: (config: Config) => Promise<T>, { checkSecrets = true } = {}): Promise<T> {
  return onDatabase(async (at) => {
    try {
      await connectDatabase(at, { checkSecrets });
      return await work(at.config);
    } finally {
      await disconnect();
    }
  });
}

/** Delivers events and runs due jobs until nothing is due. */
export async function settle({ outbox, jobs }: Service): Promise<void> {
  for (;;) if ((await outbox.deliverDue()) + (await jobs.runDue()) === 0) return;
}
