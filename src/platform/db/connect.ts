import mongoose from 'mongoose';
import { slowCommands } from './timed.ts';

mongoose.set('strictQuery', 'throw');
mongoose.set('autoCreate', false);
mongoose.set('autoIndex', false);
// Held back without a connection, commands end after 10 s with an error that says nothing; the driver waits and says.
mongoose.set('bufferCommands', false);

let open = false;

/**
 * The one connection of this process; throws before `connect` and after `disconnect`. While the set elects a primary it is
 * given all the same: the driver waits for one, and ends with an error that is answered as 503.
 */
export function connection(): mongoose.Connection {
  if (!open) throw new Error('The database is not connected');
  return mongoose.connection;
}

/** The database of that connection; throws before `connect`. */
export function database(): mongoose.mongo.Db {
  const { db } = connection();
  if (!db) throw new Error('Not connected');
  return db;
}

export interface ConnectOptions {
  uri: string;
  poolSize: number;
  /** Told about each command of a door that took longer than `slowMs`; names only, never values. */
  onSlow: (command: string, collection: string, ms: number) => void;
  slowMs: number;
  /** For `onCommandSent`; the driver then decodes every answer twice. */
  tellsCommands?: boolean;
}

let connections = 0;

/** How often this process has connected: what was cached of another database is worth nothing. */
export function connectionCount(): number {
  return connections;
}

type Listener = (command: string, body: Readonly<Record<string, unknown>>) => void;

const counters = new Set<Listener>();

/** Tells `listener` of every command sent, until the returned function is called; for tests that count and explain, connected with `tellsCommands`. */
export function onCommandSent(listener: Listener): () => void {
  counters.add(listener);
  return () => counters.delete(listener);
}

/** Connects once per process: majority reads and journaled majority writes; refuses a server without a replica set. */
export async function connect({ uri, poolSize, onSlow, slowMs, tellsCommands = false }: ConnectOptions): Promise<void> {
  await mongoose.connect(uri, {
    maxPoolSize: poolSize,
    serverSelectionTimeoutMS: 5_000,
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
    ignoreUndefined: true,
    monitorCommands: tellsCommands,
  });
  open = true;
  connections += 1;
  Object.assign(slowCommands, { told: onSlow, slowMs });
  if (tellsCommands) watch();
  const hello = await mongoose.connection.db?.admin().command({ hello: 1 });
  if (!hello?.['setName']) {
    await disconnect();
    throw new Error(
      'MONGODB_URI names a standalone server. Dakiya needs transactions, which need a replica set: start mongod with ' +
        '--replSet rs0, run rs.initiate() once, and add ?replicaSet=rs0 to the URI',
    );
  }
}

/** Tells the listeners of what is sent. */
function watch(): void {
  mongoose.connection.getClient().on('commandStarted', ({ commandName, command }) => {
    if (!isListening(commandName, command)) for (const count of counters) count(commandName, command);
  });
}

/** Change streams ask for news all the time, whatever the process is doing: they are nobody's commands. */
function isListening(commandName: string, command: Record<string, unknown>): boolean {
  const first: unknown = Array.isArray(command['pipeline']) ? command['pipeline'][0] : undefined;
  return commandName === 'getMore' || (typeof first === 'object' && first !== null && '$changeStream' in first);
}

/** Closes the connection; safe to call twice. */
export async function disconnect(): Promise<void> {
  open = false;
  await mongoose.disconnect();
}
