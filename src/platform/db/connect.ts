import mongoose from 'mongoose';

mongoose.set('strictQuery', 'throw');
mongoose.set('autoCreate', false);
mongoose.set('autoIndex', false);

/** The one connection of this process; throws before `connect`. */
export function connection(): mongoose.Connection {
  if (mongoose.connection.readyState !== mongoose.ConnectionStates.connected) throw new Error('The database is not connected');
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
  /** Told about each command that took longer than `slowMs`; names only, never values. */
  onSlow: (command: string, collection: string, ms: number) => void;
  slowMs: number;
}

let connections = 0;

/** How often this process has connected: what was cached of another database is worth nothing. */
export function connectionCount(): number {
  return connections;
}

type Listener = (command: string, body: Readonly<Record<string, unknown>>) => void;

const counters = new Set<Listener>();

/** Tells `listener` of every command sent, until the returned function is called; for tests that count and explain. */
export function onCommandSent(listener: Listener): () => void {
  counters.add(listener);
  return () => counters.delete(listener);
}

/** Connects once per process: majority reads and journaled majority writes; refuses a server without a replica set. */
export async function connect({ uri, poolSize, onSlow, slowMs }: ConnectOptions): Promise<void> {
  await mongoose.connect(uri, {
    maxPoolSize: poolSize,
    serverSelectionTimeoutMS: 5_000,
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
    ignoreUndefined: true,
    monitorCommands: true,
  });
  connections += 1;
  watch(onSlow, slowMs);
  const hello = await mongoose.connection.db?.admin().command({ hello: 1 });
  if (!hello?.['setName']) {
    await mongoose.disconnect();
    throw new Error(
      'MONGODB_URI names a standalone server. Dakiya needs transactions, which need a replica set: start mongod with ' +
        '--replSet rs0, run rs.initiate() once, and add ?replicaSet=rs0 to the URI',
    );
  }
}

/** Slow commands by name; the collection is known only at the start of a command, so slow ones are looked up by id. */
function watch(onSlow: ConnectOptions['onSlow'], slowMs: number): void {
  const client = mongoose.connection.getClient();
  const running = new Map<number, string>();
  client.on('commandStarted', ({ requestId, commandName, command }) => {
    const target: unknown = (command as Record<string, unknown>)[commandName];
    running.set(requestId, typeof target === 'string' ? target : '');
    if (!isListening(commandName, command)) for (const count of counters) count(commandName, command);
  });
  const ended = ({ requestId, commandName, duration }: { requestId: number; commandName: string; duration: number }): void => {
    const collection = running.get(requestId) ?? '';
    running.delete(requestId);
    if (duration >= slowMs && commandName !== 'hello' && commandName !== 'getMore') onSlow(commandName, collection, duration);
  };
  client.on('commandSucceeded', ended);
  client.on('commandFailed', ended);
}

/** Change streams ask for news all the time, whatever the process is doing: they are nobody's commands. */
function isListening(commandName: string, command: Record<string, unknown>): boolean {
  const first: unknown = Array.isArray(command['pipeline']) ? command['pipeline'][0] : undefined;
  return commandName === 'getMore' || (typeof first === 'object' && first !== null && '$changeStream' in first);
}

/** Closes the connection; safe to call twice. */
export async function disconnect(): Promise<void> {
  await mongoose.disconnect();
}
