import { BoundedMap } from './bounded-map.ts';
import type { Ctx } from './context.ts';

/** What is asked for: rows by their names (SKUs, codes), by company. */
export interface Wanted {
  companyId: string;
  names: readonly string[];
}

export interface RecallOptions<R extends object> {
  read(ctx: Ctx, wanted: readonly Wanted[]): Promise<R[]>;
  keyOf(row: R): { companyId: string; name: string };
  /** False for rows that must be read each time. */
  keep?(row: R): boolean;
  /** Most names; those that were seen first go first. */
  max: number;
  forMs: number;
  /** A clock that never goes back. */
  now(): number;
}

/**
 * Rows as they were seen lately. Others may have changed them since, so nothing but what a guard in the database judges may
 * be built on them.
 */
export interface Recall<R extends object> {
  /** All rows of these names, as they are now. */
  see(ctx: Ctx, wanted: readonly Wanted[]): Promise<R[]>;
  /** The same, from memory where they were seen lately. */
  recall(ctx: Ctx, wanted: readonly Wanted[]): Promise<R[]>;
  /** Changes what is remembered of a name, so that it keeps up with what this process has written. */
  adjust(companyId: string, name: string, change: (row: R) => void): void;
  /** Has a name read again before it is recalled. */
  forget(companyId: string, name: string): void;
}

/** Makes a bounded memory over a read. */
export function makeRecall<R extends object>({ read, keyOf, keep, max, forMs, now }: RecallOptions<R>): Recall<R> {
  const seen = new BoundedMap<string, { rows: R[]; at: number }>(max);
  const known = (companyId: string, name: string): R[] | undefined => {
    const entry = seen.get(`${companyId}|${name}`);
    return entry && now() - entry.at <= forMs ? entry.rows : undefined;
  };
  const put = (key: string, rows: R[], at: number): void => {
    if (!rows.every((row) => keep?.(row) ?? true)) return;
    seen.set(key, { rows, at });
  };

  const see: Recall<R>['see'] = async (ctx, wanted) => {
    const at = now();
    const rows = await read(ctx, wanted);
    const byKey = new Map<string, R[]>();
    for (const row of rows) {
      const { companyId, name } = keyOf(row);
      const key = `${companyId}|${name}`;
      const own = byKey.get(key);
      if (own) own.push({ ...row });
      else byKey.set(key, [{ ...row }]);
    }
    // A name that no row has any more is forgotten too: it would be recalled, and refused by the guard, again and again.
    for (const { companyId, names } of wanted) for (const name of names) seen.delete(`${companyId}|${name}`);
    for (const [key, own] of byKey) put(key, own, at);
    return rows;
  };

  return {
    see,
    async recall(ctx, wanted) {
      const rows: R[] = [];
      const open: Wanted[] = [];
      for (const { companyId, names } of wanted) {
        const own = companyId === ctx.companyId || ctx.across !== undefined;
        const missing = names.filter((name) => {
          const there = own ? known(companyId, name) : undefined;
          for (const row of there ?? []) rows.push({ ...row });
          return !there;
        });
        if (missing.length > 0) open.push({ companyId, names: missing });
      }
      return open.length === 0 ? rows : [...rows, ...(await see(ctx, open))];
    },
    adjust(companyId, name, change) {
      for (const row of known(companyId, name) ?? []) change(row);
    },
    forget: (companyId, name) => void seen.delete(`${companyId}|${name}`),
  };
}
