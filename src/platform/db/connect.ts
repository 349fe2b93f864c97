import mongoose from 'mongoose';

mongoose.set('strictQuery', 'throw');
mongoose.set('autoCreate', false);
mongoose.set('autoIndex', false);

/** The one connection of this process; throws before `connect`. */
export function connection(): mongoose.Connection {
  if (mongoose.connection.readyState !== mongoose.ConnectionStates.connected) throw new Error('The database is not connected');
  return mongoose.connection;
}

export interface ConnectOptions {
  uri: string;
  poolSize: number;
  /** Told about each command: name, milliseconds, collection; for slow-query warnings and metrics. */
  onCommand?: (command: string, durationMs: number, failed: boolean) => void;
}

/** Connects once per process: majority reads and journaled majority writes; refuses a server without a replica set. */
export async function connect({ uri, poolSize, onCommand }: ConnectOptions): Promise<void> {
  await mongoose.connect(uri, {
    maxPoolSize: poolSize,
    serverSelectionTimeoutMS: 5_000,
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
    ignoreUndefined: true,
    monitorCommands: onCommand !== undefined,
  });
  if (onCommand) {
    const client = mongoose.connection.getClient();
    client.on('commandSucceeded', (e) => onCommand(e.commandName, e.duration, false));
    client.on('commandFailed', (e) => onCommand(e.commandName, e.duration, true));
  }
  const hello = await mongoose.connection.db?.admin().command({ hello: 1 });
  if (!hello?.['setName']) {
    await mongoose.disconnect();
    throw new Error(
      'MONGODB_URI names a standalone server. Dakiya needs transactions, which need a replica set: start mongod with ' +
        '--replSet rs0, run rs.initiate() once, and add ?replicaSet=rs0 to the URI',
    );
  }
}

/** Closes the connection; safe to call twice. */
export async function disconnect(): Promise<void> {
  await mongoose.disconnect();
}
