import mongoose from 'mongoose';

const DRIVER_ERRORS = /^Mongo(?:ServerSelection|Network|NetworkTimeout|PoolCleared|NotConnected|TopologyClosed)Error$/;

/** What a node answers that is starting, stepping down, shutting down or no primary any more, by the server's error codes. */
const NODE_STATES = new Set([
  91, // ShutdownInProgress
  189, // PrimarySteppedDown
  10058, // LegacyNotPrimary
  10107, // NotWritablePrimary
  11600, // InterruptedAtShutdown
  11602, // InterruptedDueToReplStateChange
  13435, // NotPrimaryNoSecondaryOk
  13436, // NotPrimaryOrSecondary
]);

/** Whether a command ended because no node could take it, also after the driver's own second try: no fault of the request. */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof mongoose.mongo.MongoServerError) return NODE_STATES.has(Number(error.code));
  return error instanceof Error && DRIVER_ERRORS.test(error.name);
}
