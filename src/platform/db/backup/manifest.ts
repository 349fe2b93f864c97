import { createHash } from 'node:crypto';
import { lstat, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import Joi from 'joi';
import mongoose from 'mongoose';
import { SetupError } from '../../embedded/setup-error.ts';

/** One collection of a backup. Its file is named by a number: a collection's name never becomes a path. */
export interface BackupEntry {
  name: string;
  file: string;
  rows: number;
  /** SHA-256 of the documents' bytes, and of the file as it lies on the disk. */
  sha256: string;
  fileSha256: string;
  fileBytes: number;
  /** Canonical extended JSON. */
  options: string;
  indexes: string;
}

/** The list of a whole backup; written last, so that a half-written one has none. */
export interface Manifest {
  format: 'dakiya-backup-1';
  version: string;
  database: string;
  createdAt: string;
  /** The moment of the cluster at which everything was read. */
  clusterTime: string;
  collections: BackupEntry[];
  /** SHA-256 over everything above. */
  digest: string;
}

const { EJSON } = mongoose.mongo.BSON;
const FILE = 'manifest.json';
const hash = Joi.string().pattern(/^[0-9a-f]{64}$/).required();
const count = Joi.number().integer().min(0).required();
/** A text of extended JSON that holds what the schema says; it stays a text. */
function json(schema: Joi.Schema): Joi.StringSchema {
  const holds = (text: string): string => {
    Joi.assert(EJSON.parse(text, { relaxed: true }), schema);
    return text;
  };
  return Joi.string().custom(holds).required();
}

const SCHEMA = Joi.object({
  format: Joi.string().valid('dakiya-backup-1').required(),
  version: Joi.string().required(),
  database: Joi.string().required(),
  createdAt: Joi.string().required(),
  clusterTime: Joi.string().required(),
  collections: Joi.array()
    .items(
      Joi.object({
        // The server's own collections are nobody's to restore, and `$` stands in no name.
        name: Joi.string().max(255).pattern(/^(?!system\.)[^$\0]+$/).required(),
        file: Joi.string().pattern(/^\d{4,6}\.bson(?:\.gz)?$/).required(),
        rows: count,
        sha256: hash,
        fileSha256: hash,
        fileBytes: count,
        options: json(Joi.object({ viewOn: Joi.forbidden(), pipeline: Joi.forbidden() }).unknown()),
        indexes: json(Joi.array().items(Joi.object({ name: Joi.string().required(), key: Joi.object().required() }).unknown())),
      }),
    )
    .unique('name')
    .unique('file')
    .min(1)
    .required(),
  digest: hash,
});

function digestOfManifest({ digest: _digest, ...rest }: Manifest): string {
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex');
}

/** Writes the manifest as the very last thing, whole or not at all. */
export async function writeManifest(folder: string, manifest: Omit<Manifest, 'digest'>): Promise<void> {
  const whole = { ...manifest, digest: digestOfManifest({ ...manifest, digest: '' }) };
  const partial = join(folder, `${FILE}.partial`);
  const file = await open(partial, 'wx', 0o600);
  await file.writeFile(JSON.stringify(whole, null, 1));
  await file.sync();
  await file.close();
  await rename(partial, join(folder, FILE));
  const directory = await open(folder, 'r');
  await directory.sync();
  await directory.close();
}

/** The manifest of a backup; refuses a folder without one (half-written), and one that was changed. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, FILE);
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isFile()) throw new SetupError(`${folder} holds no whole backup: its manifest.json, which is written last, is missing`);
  let manifest: Manifest;
  try {
    const parsed = SCHEMA.validate(JSON.parse(await readFile(path, 'utf8')), { convert: false });
    if (parsed.error) throw parsed.error;
    manifest = parsed.value as Manifest;
  } catch (cause) {
    throw new SetupError('manifest.json is damaged; nothing was restored', { cause });
  }
  if (digestOfManifest(manifest) !== manifest.digest) throw new SetupError('manifest.json was changed after the backup was made; nothing was restored');
  return manifest;
}
