/** The value at a dotted path of a row; undefined where the path leads nowhere. */
export function valueAt(row: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((node, part) => (node as Record<string, unknown> | null | undefined)?.[part], row);
}
