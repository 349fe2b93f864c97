import { invalidFields } from './errors.ts';

export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 1000;

/** One page of a list; `nextCursor` is null on the last. */
export interface Page<T> {
  data: T[];
  nextCursor: string | null;
}

/** What a list is asked for; the cursor is opaque to callers. */
export interface PageRequest {
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** The place after which a page starts: the sort value in milliseconds or as text, and the id that breaks ties. */
export interface Place {
  at: number | string;
  id: string;
}

/** The given limit, 50 without one, never more than 1000. */
export function pageLimit(request: PageRequest): number {
  return Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
}

/** Writes a place as an opaque cursor. */
export function writeCursor(place: Place): string {
  return Buffer.from(JSON.stringify([place.at, place.id])).toString('base64url');
}

/** Rows of the machinery have ids of their own, such as a session's `<user>:<slot>`. */
function isRowId(value: unknown): value is string {
  return typeof value === 'string' && /^[\w:.-]{1,100}$/.test(value);
}

/** Reads a cursor; 400 naming `cursor` when it was not made by `writeCursor`. */
export function readCursor(cursor: string): Place {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(value) && value.length === 2 && isRowId(value[1])) {
      const at: unknown = value[0];
      if ((typeof at === 'number' && Number.isSafeInteger(at)) || (typeof at === 'string' && at.length <= 300)) return { at, id: value[1] };
    }
  } catch {
    // falls through to the one refusal below
  }
  throw invalidFields([{ path: 'cursor', message: 'Send the nextCursor of an earlier answer unchanged' }]);
}

const NO_ID = '0'.repeat(24);

/** One page of rows that are all at hand, in their order; for lists that are short by their nature. */
export function pageAmong<T>(rows: readonly T[], request: PageRequest): Page<T> {
  const place = request.cursor === undefined ? 0 : readCursor(request.cursor).at;
  const start = typeof place === 'number' ? Math.max(0, place) : 0;
  const end = start + pageLimit(request);
  return { data: rows.slice(start, end), nextCursor: end < rows.length ? writeCursor({ at: end, id: NO_ID }) : null };
}

/** 400 naming `from` when a range ends before it begins; either end may be open. */
export function assertRange({ from, to }: { from?: Date | undefined; to?: Date | undefined }): void {
  if (from && to && from > to) throw invalidFields([{ path: 'from', message: 'must not be after to' }]);
}

/** Maps the rows of a page to what the caller shows. */
export function mapPage<A, B>(page: Page<A>, view: (row: A) => B): Page<B> {
  return { data: page.data.map(view), nextCursor: page.nextCursor };
}
