import type mongoose from 'mongoose';
import type { AppError } from '../errors.ts';
import type { SealedSpec } from './sealed-fields.ts';
import type { Tx } from './tx.ts';

/** What every stored row carries. Ids are 24 hex characters; `version` grows by one with every change. */
export interface Stored {
  _id: string;
  companyId: string;
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

export type Row<T> = T & Stored;

interface Operators<V> {
  $in?: readonly V[];
  $nin?: readonly V[];
  $ne?: V | null;
  $eq?: V | null;
  $gt?: V;
  $gte?: V;
  $lt?: V;
  $lte?: V;
  $exists?: boolean;
  $all?: readonly unknown[];
  $size?: number;
  $elemMatch?: Record<string, unknown>;
  $regex?: RegExp;
  $not?: Record<string, unknown>;
}

type Element<V> = V extends readonly (infer U)[] ? U : V;

/** A filter over a row's own fields; dotted paths are allowed, unknown plain keys are not. */
export type Filter<T> = { [K in keyof Row<T>]?: Row<T>[K] | Element<Row<T>[K]> | Operators<Element<Row<T>[K]>> | null } & {
  $or?: Filter<T>[];
  $and?: Filter<T>[];
  $nor?: Filter<T>[];
  $expr?: Record<string, unknown>;
  [dotted: `${string}.${string}`]: unknown;
};

type Dotted = { [dotted: `${string}.${string}`]: unknown };
type Own<T> = { [K in keyof T]?: T[K] | undefined };
type Numeric<T> = { [K in keyof T as NonNullable<T[K]> extends number ? K : never]?: number };
type Lists<T> = { [K in keyof T as NonNullable<T[K]> extends readonly unknown[] ? K : never]?: unknown };

/** The changes the door accepts; `_id`, `companyId` and `version` are nobody's to change. */
export interface ChangeOf<T> {
  $set?: Own<T> & Dotted;
  $unset?: { [K in keyof T]?: '' | true } & Dotted;
  $inc?: Numeric<T> & Dotted;
  $push?: Lists<T> & Dotted;
  $pull?: Lists<T> & Dotted;
  $addToSet?: Lists<T> & Dotted;
  $min?: Own<T> & Dotted;
  $max?: Own<T> & Dotted;
}

/** What must hold for an update: the version that was seen, or a condition with the refusal that its failure means. */
export type Guard<T> = { version: number } | { where: Filter<T>; otherwise: (row: Row<T>) => AppError };

/** A stored row that was read before, as bulks name it. */
export type RowRef = Pick<Stored, '_id' | 'companyId'>;

/** One guarded change of a bulk; the whole bulk is refused when any one does not match. */
export type BulkChange<T> = BulkTarget<T> & {
  /** On whose behalf; the bulk's own Tx without it. Lanes carry many askers. */
  tx?: Tx;
  where?: Filter<T>;
  change: ChangeOf<T>;
};

type BulkTarget<T> =
  | {
      /** Which single row: its id, or fields under a unique index. */
      match: Filter<T>;
      /** Makes the row when it is not there (counters); its other fields come from here. */
      orInsert?: Partial<T>;
      row?: never;
      under?: never;
    }
  | {
      /** A row that was read before: same changes of many such rows cost one statement. Once in a bulk. */
      row: RowRef;
      /** Names that it was found under and must still have. */
      under?: Readonly<Record<string, string>>;
      match?: never;
      orInsert?: never;
    };

export interface FindOptions<T> {
  sort?: Record<string, 1 | -1>;
  limit?: number;
  fields?: readonly (keyof Row<T> | `${string}.${string}`)[];
}

export interface IndexSpec {
  keys: Record<string, 1 | -1 | '2dsphere'>;
  unique?: boolean;
  /** For partial indexes use $exists: true; a $type condition is not used by plain equality queries. */
  partial?: Record<string, unknown>;
  expireAfterSeconds?: number;
  name?: string;
}

/** The name of an index in the database. */
export function indexName({ name, keys }: IndexSpec): string {
  return name ?? Object.entries(keys).map(([k, d]) => `${k}_${d}`).join('_');
}

/** How a collection is declared; see `defineCollection`. */
export interface CollectionSpec {
  /** Collection name in the database, plural. */
  name: string;
  /** One row's name in error codes: `order` gives `order_not_found`, `order_exists`. */
  rowName: string;
  fields: mongoose.SchemaDefinition;
  indexes?: readonly IndexSpec[];
  /** `company` (default): own rows only. `shared`: reads also see the platform's rows. */
  scope?: 'company' | 'shared';
  /** False for rows that are themselves the record of a change (movements, ledger entries); say why beside it. */
  audited?: boolean;
  /** Counters whose every change has a row of its own elsewhere (a redemption): changes of nothing else are not audited again. */
  counters?: readonly string[];
  /** False for rows that no list of the company shows (counters, records reached through their owner): saves an index. */
  listed?: boolean;
  /** Most elements an embedded array may hold; enforced here and by the server. */
  bounds?: Readonly<Record<string, number>>;
  /** Paths whose values are sealed: personal data and secrets. Row types say `Sealed<V>` there. */
  sealed?: Readonly<Record<string, SealedSpec>>;
  /**
   * Personal fields that stand in clear, and what takes their place when the company is erased: a text, one made from the
   * row's id, an empty list, or null to remove the field. `*` in a path is every element of a list, or every field.
   */
  personal?: Readonly<Record<string, string | null | readonly never[] | ((id: string) => string)>>;
  /** `company` (default): part of the export of a company. `none`: machinery and secrets, or nobody's own. */
  privacy?: 'company' | 'none';
}
