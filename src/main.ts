import { ConfigError, configNotices, loadConfig, type Config } from './config.ts';
import { startEmbedded, type Embedded } from './platform/embedded/replica-set.ts';
import { SetupError } from './platform/embedded/setup-error.ts';
import { makeLogger, type Log } from './platform/logger.ts';
import { measureProcess } from './platform/metrics.ts';
import { makeShutdown } from './platform/shutdown.ts';
import { startService } from './service.ts';

/** Serves until a signal: the only file that ends the process. */
async function main(): Promise<void> {
  const config = await loadConfig();
  const log = makeLogger({ level: config.logLevel });
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  for (const notice of configNotices(config)) say(notice);
  const shutdown = makeShutdown({ graceMs: config.shutdownGraceMs, log, exit: (code) => void log.flush().finally(() => process.exit(code)) });
  shutdown.followSignals(process);
  catchTheUncaught(log, (reason) => void shutdown.begin(reason, 1));
  const database = await openServer(config);
  const starting = startService({ config, log, mongodbUri: database.uri, listen: config.role !== 'worker', background: true, isEnding: shutdown.isEnding });
  const service = await starting.catch(async (error: unknown) => {
    await database.embedded?.stop();
    throw error;
  });
  shutdown.on('stopAccepting', 'listener', service.stopAccepting);
  shutdown.on('stopJobs', 'background work', service.stopBackground);
  shutdown.on('closeConnections', 'database', async () => {
    await service.close();
    await database.embedded?.stop();
  });
  const { seedDemo } = await import('../scripts/seed.ts');
  await seedDemo(config, say);
  measureProcess();
  if (service.url) say(`ready ${service.url}`);
  else say('ready (worker)');
}

/** The database of this process: the one of MONGODB_URI, or the embedded one under DATA_DIR. */
async function openServer(config: Config): Promise<{ uri: string; embedded?: Embedded }> {
  if (config.mongodbUri !== undefined) return { uri: config.mongodbUri };
  const embedded = await startEmbedded({ dataDir: config.dataDir, binary: config.mongodBinary, cacheDir: config.dakiyaCacheDir });
  return { uri: embedded.uri, embedded };
}

/** A fault nobody caught is logged once, and the process drains and ends: its state is not to be trusted. */
function catchTheUncaught(log: Log, end: (reason: string) => void): void {
  process.on('uncaughtException', (error) => {
    log.error('process.uncaught_exception', { error });
    end('uncaught_exception');
  });
  process.on('unhandledRejection', (error) => {
    log.error('process.unhandled_rejection', { error });
    end('unhandled_rejection');
  });
}

main().catch((error: unknown) => {
  const lines = error instanceof ConfigError ? error.problems.map((p) => `- ${p}`).join('\n') : error instanceof SetupError ? error.message : String(error instanceof Error ? error.stack : error);
  process.stderr.write(`Dakiya cannot start:\n${lines}\n`);
  process.exit(1);
});
