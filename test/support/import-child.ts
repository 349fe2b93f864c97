import { Writable } from 'node:stream';
import { loadConfig } from '../../src/config.ts';
import { importJobs } from '../../src/modules/imports/index.ts';
import '../../src/modules.ts';
import { makeJobRunner } from '../../src/platform/jobs.ts';
import { makeLogger } from '../../src/platform/logger.ts';
import { openDatabase } from '../../src/service.ts';

/** A worker of its own process, for tests that kill it: works imports off until told to stop or killed. */
const config = await loadConfig();
if (!/_test(?:\?|$)/.test(config.mongodbUri ?? '')) throw new Error('Not a test database');
const log = makeLogger({ level: 'error', stream: new Writable({ write: (_chunk, _encoding, done) => done() }) });
await openDatabase({ config, log, mongodbUri: config.mongodbUri ?? '' });
const runner = makeJobRunner(importJobs, { concurrency: 1 });
runner.start();
process.send?.('ready');
