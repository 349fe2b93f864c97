/** The same object without the keys whose value is undefined: the database and declared answers know no such value. */
export function present<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
