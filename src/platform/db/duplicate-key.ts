import mongoose from 'mongoose';

/** True for MongoDB's duplicate key error, single or bulk. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof mongoose.mongo.MongoError && error.code === 11000;
}
