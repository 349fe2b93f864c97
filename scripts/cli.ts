import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { ConfigError, describeConfig, loadConfig } from '../src/config.ts';
import { AppError } from '../src/platform/errors.ts';
import { isId } from '../src/platform/ids.ts';
import { SetupError } from '../src/platform/embedded/setup-error.ts';
import { MIGRATION_NAMES } from '../src/platform/db/migration-names.ts';
import { STAFF_ROLES, type StaffRole } from '../src/platform/permissions.ts';
import { MigrationError } from './migrations/migration.ts';
import { VERSION } from '../src/version.ts';
import { say, table } from './lib/output.ts';

/** What commander refuses: an unknown command or option, a missing argument. It has said why itself. */
const WRONG_USE = 2;

function companyId(value: string): string {
  if (!isId(value)) throw new InvalidArgumentError('It is the 24-character id of a company.');
  return value;
}

/** An empty name would be the folder in which somebody happens to stand. */
function folder(name: string): string {
  if (name.trim() === '') throw new InvalidArgumentError('A folder has a name.');
  return name;
}

const program = new Command('dakiya')
  .exitOverride()
  .description('Dakiya from the command line')
  .version(VERSION)
  .showHelpAfterError('(--help shows examples)')
  .addHelpText('after', '\nExit codes: 0 done, 1 refused or found something wrong, 2 wrong use.\nEvery command joins the running server’s database, else starts the embedded one.');

program
  .command('serve')
  .description('serve HTTP and work in the background (ROLE says which)')
  .action(async () => {
    await import('../src/main.ts');
  });

program
  .command('worker')
  .description('work in the background only')
  .action(async () => {
    process.env['ROLE'] = 'worker';
    await import('../src/main.ts');
  });

program
  .command('import')
  .description('import a file of orders (or products, pincodes, serviceability)')
  .argument('<file>', 'CSV or JSON lines; Shopify’s export is recognised by its header')
  .option('--company <id>', 'the company; default: the demo company', companyId)
  .addOption(new Option('--kind <kind>', 'what the file holds').choices(['orders', 'products', 'pincodes', 'serviceability']).default('orders'))
  .addOption(new Option('--mode <mode>', 'what becomes of the file when a row is wrong').choices(['skip_invalid', 'all_or_nothing']).default('skip_invalid'))
  .option('--courier <courier>', 'whose serviceability, for --kind serviceability; default: sandbox')
  .option('--force', 'import the same bytes again', false)
  .addHelpText('after', '\nExample:\n  npm run -s dakiya -- import data/samples/shopify-orders.csv')
  .action(async (file: string, options: { company?: string; kind: string; mode: string; force: boolean; courier?: string }) => {
    const { importCommand } = await import('./import.ts');
    process.exitCode = await importCommand(file, options);
  });

program
  .command('simulate')
  .description('play a file of orders to the end: import, prices, booking, labels, manifests, scans, NDR, RTO, books')
  .option('--file <file>', 'the file of orders', 'data/samples/shopify-orders.csv')
  .option('--days <n>', 'simulated days', '10')
  .option('--seed <text>', 'another seed plays other parcels', 'dakiya')
  .option('--company <id>', 'an existing company; default: a new one for this run', companyId)
  .addHelpText('after', '\nExample:\n  npm run -s dakiya -- simulate --file data/samples/shopify-orders.csv --days 10')
  .action(async (options: { file: string; days: string; seed: string; company?: string }) => {
    const { simulateCommand } = await import('./simulate.ts');
    process.exitCode = await simulateCommand(options);
  });

const UP = { dryRun: 'write nothing: say how many rows would change', to: 'the last migration to run' };
const migrate = program
  .command('migrate')
  .description('bring the database into the shape of this version, or back')
  .option('--dry-run', UP.dryRun, false)
  .addHelpText(
    'after',
    '\nStop the service first. Migrations in their order: indexes, migrate-encrypt-kyc, migrate-encrypt-oauth, migrate-hash-sessions.\n' +
      'A migration that was killed goes on where it was with the same command.\n\nExamples:\n  npm run -s dakiya -- migrate --dry-run\n  npm run -s dakiya -- migrate up\n  npm run -s dakiya -- migrate down --to migrate-encrypt-kyc',
  )
  .action(async (options: { dryRun: boolean }) => {
    if (!options.dryRun) return migrate.help({ error: true });
    const { migrateCommand } = await import('./migrate.ts');
    process.exitCode = await migrateCommand({ direction: 'up', dryRun: true });
  });
migrate
  .command('up')
  .description('run what has not run')
  .addOption(new Option('--to <name>', UP.to).choices(MIGRATION_NAMES))
  .option('--dry-run', UP.dryRun, false)
  .option('--drop-unreadable', 'take rows up without the fields that cannot be read; the sealed backup keeps them', false)
  .action(async (options: { to?: string; dropUnreadable: boolean }, command: Command) => {
    const { migrateCommand } = await import('./migrate.ts');
    process.exitCode = await migrateCommand({ direction: 'up', ...options, dryRun: isDry(command) });
  });
migrate
  .command('down')
  .description('undo the last migration')
  .option('--all', 'undo all of them', false)
  .addOption(new Option('--to <name>', 'undo down to this one, and it too').choices(MIGRATION_NAMES))
  .option('--dry-run', UP.dryRun, false)
  .action(async (options: { all: boolean; to?: string }, command: Command) => {
    const { migrateCommand } = await import('./migrate.ts');
    process.exitCode = await migrateCommand({ direction: 'down', ...options, dryRun: isDry(command) });
  });
migrate
  .command('status')
  .description('which migrations have run')
  .option('--check', 'exit 1 when one has not', false)
  .action(async (options: { check: boolean }) => {
    const { statusCommand } = await import('./migrate.ts');
    process.exitCode = await statusCommand(options);
  });
migrate
  .command('discard-backups')
  .description('forget the sealed backups: nothing can be undone then')
  .action(async () => {
    const { discardCommand } = await import('./migrate.ts');
    process.exitCode = await discardCommand();
  });

/** The option may stand before or after the word. */
function isDry(command: Command): boolean {
  return command.optsWithGlobals<{ dryRun?: boolean }>().dryRun === true || migrate.opts<{ dryRun?: boolean }>().dryRun === true;
}

program
  .command('backup')
  .description('write every collection, files included, as it is at one moment into a new folder')
  .requiredOption('--out <folder>', 'a folder that does not exist or is empty', folder)
  .option('--plain', 'do not compress', false)
  .addHelpText('after', '\nSealed values stay sealed: without the same ENCRYPTION_KEY(S) nobody reads them, also not you.\n\nExample:\n  npm run -s dakiya -- backup --out backups/2026-11-25')
  .action(async (options: { out: string; plain: boolean }) => {
    const { backupCommand } = await import('./backup.ts');
    process.exitCode = await backupCommand(options);
  });

program
  .command('restore')
  .description('bring a backup back; verifies every file before the first write')
  .requiredOption('--from <folder>', 'the folder of a backup', folder)
  .option('--into <database>', 'another database of the same server')
  .option('--force', 'replace what the database holds', false)
  .addHelpText('after', '\nStop the service first.\n\nExample:\n  npm run -s dakiya -- restore --from backups/2026-11-25 --into dakiya_restored')
  .action(async (options: { from: string; into?: string; force: boolean }) => {
    const { restoreCommand } = await import('./backup.ts');
    process.exitCode = await restoreCommand(options);
  });

program
  .command('seed')
  .description('seed the demo company; refuses production')
  .option('--demo', 'the demo company, its owner, products, stock and wallet', false)
  .action(async () => {
    const { seedCommand } = await import('./seed.ts');
    process.exitCode = await seedCommand();
  });

program
  .command('checks')
  .description('run every invariant check over the stored data')
  .action(async () => {
    const { checksCommand } = await import('./checks.ts');
    process.exitCode = await checksCommand();
  });

const jobs = program.command('jobs').description('background work that gave up');
jobs
  .command('dead')
  .description('list dead jobs')
  .action(async () => {
    const { deadJobsCommand } = await import('./jobs.ts');
    process.exitCode = await deadJobsCommand();
  });
jobs
  .command('retry')
  .description('queue a dead job again')
  .argument('<id>', 'the job, or "all"')
  .action(async (id: string) => {
    const { retryJobCommand } = await import('./jobs.ts');
    process.exitCode = await retryJobCommand(id);
  });

const keys = program.command('keys').description('data keys of sealed values; every command may run while the service does');
const company = ['--company <id>', 'only this company’s', companyId] as const;
keys
  .command('list')
  .description('data keys with their generation and state, never the keys themselves')
  .option(...company)
  .action(async (options: { company?: string }) => {
    const { listKeysCommand } = await import('./keys.ts');
    process.exitCode = await listKeysCommand(options);
  });
keys
  .command('rotate')
  .description('a new generation of every data key: it seals what is written from now on')
  .option(...company)
  .addOption(new Option('--purpose <purpose>', 'only these').choices(['company', 'system', 'books', 'aadhaar']))
  .action(async (options: { company?: string; purpose?: string }) => {
    const { rotateKeysCommand } = await import('./keys.ts');
    process.exitCode = await rotateKeysCommand(options);
  });
keys
  .command('reencrypt')
  .description('seal every row, file and waiting mail with its newest key; goes on where a killed run was')
  .option(...company)
  .option('--indexes', 'make every blind index again, after a change of BLIND_INDEX_KEY', false)
  .action(async (options: { company?: string; indexes: boolean }) => {
    const { reencryptCommand } = await import('./keys.ts');
    process.exitCode = await reencryptCommand(options);
  });
keys
  .command('retire')
  .description('remove data keys of older generations that nothing in the database names any more')
  .option(...company)
  .option('--dry-run', 'only tell which', false)
  .action(async (options: { company?: string; dryRun: boolean }) => {
    const { retireCommand } = await import('./keys.ts');
    process.exitCode = await retireCommand(options);
  });
keys
  .command('rewrap')
  .description('wrap every data key with the first key of ENCRYPTION_KEYS, so that older ones can be removed')
  .action(async () => {
    const { rewrapCommand } = await import('./keys.ts');
    process.exitCode = await rewrapCommand();
  });
keys
  .command('accept')
  .description('say that a secret was changed on purpose, so that the service starts again')
  .addArgument(new Argument('<secret>').choices(['pepper', 'blindIndex']))
  .action(async (secret: 'pepper' | 'blindIndex') => {
    const { acceptSecretCommand } = await import('./keys.ts');
    process.exitCode = await acceptSecretCommand(secret);
  });

const admin = program.command('admin').description('staff');
admin
  .command('create-operator')
  .description('create a staff user; reads the password from standard input')
  .requiredOption('--email <email>')
  .requiredOption('--name <name>')
  .addOption(new Option('--role <role>', 'what he may do').choices(STAFF_ROLES).makeOptionMandatory())
  .addHelpText('after', '\nExample:\n  printf %s "$PASSWORD" | npm run -s dakiya -- admin create-operator --email a@b.in --name Asha --role operator')
  .action(async (options: { email: string; name: string; role: StaffRole }) => {
    const { createOperatorCommand } = await import('./admin.ts');
    process.exitCode = await createOperatorCommand(options);
  });
admin
  .command('unlock')
  .description('lift the lock-out of a user')
  .argument('[email]')
  .option('--email <email>', 'the same, as the other commands take it')
  .action(async (argument: string | undefined, options: { email?: string }, command: Command) => {
    const email = argument ?? options.email;
    if (email === undefined) return command.error("error: missing required argument 'email'");
    const { unlockCommand } = await import('./admin.ts');
    process.exitCode = await unlockCommand(email);
  });
admin
  .command('disable-mfa')
  .description('switch off the two-step sign-in of a user who has lost authenticator and recovery keys')
  .requiredOption('--email <email>')
  .requiredOption('--reason <reason>', 'kept in the security events, 10 to 200 characters')
  .addHelpText('after', '\nExample:\n  npm run -s dakiya -- admin disable-mfa --email a@b.in --reason "Phone lost, proved by a call back"')
  .action(async (options: { email: string; reason: string }) => {
    const { disableMfaCommand } = await import('./admin.ts');
    process.exitCode = await disableMfaCommand(options);
  });

program
  .command('openapi')
  .description('write openapi.json from the routes')
  .option('--check', 'only compare: exit 1 when the committed file differs', false)
  .action(async (options: { check: boolean }) => {
    const { openapiCommand } = await import('./openapi.ts');
    process.exitCode = await openapiCommand(options.check);
  });

program
  .command('config')
  .description('settings')
  .command('print')
  .description('every setting, its value (secrets masked) and where it came from')
  .action(async () => {
    const config = await loadConfig();
    say(table(['setting', 'value', 'source'], describeConfig(config).map((s) => [s.name, s.value, s.source])));
  });

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : WRONG_USE);
  const refused = error instanceof AppError || error instanceof SetupError || error instanceof MigrationError;
  process.exitCode = refused || error instanceof ConfigError ? 1 : 70;
  const details = error instanceof AppError && error.details ? ` ${JSON.stringify(error.details)}` : '';
  const text = error instanceof ConfigError ? error.problems.join('\n') : error instanceof Error ? (refused ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`${text}${details}\n`);
}
