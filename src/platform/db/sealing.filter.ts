import { isWithin, withoutPositions, type SealedField } from './sealed-fields.ts';

type Plain = Record<string, unknown>;

/** Refuses a filter that compares a sealed value or its mask: only `$exists` and blind indexes can find such rows. */
export function assertSealedFilter(collection: string, fields: readonly SealedField[], filter: unknown): void {
  const refuse = (path: string): never => {
    throw new Error(`${path} of ${collection} is sealed: find rows by blind() or $exists`);
  };
  const isSealed = (path: string): boolean => isWithin(path, 'masks') || fields.some((f) => isWithin(path, f.path) || (f.array !== undefined && isWithin(path, `${f.array}.masks`)));
  const walk = (node: unknown, above: string): void => {
    if (typeof node === 'string' && node.startsWith('$') && isSealed(withoutPositions(node.replace(/^\$+(?:ROOT\.)?/, '')))) refuse(node);
    if (Array.isArray(node)) for (const item of node) walk(item, above);
    if (!isPlain(node)) return;
    for (const [key, value] of Object.entries(node)) {
      const path = key.startsWith('$') ? above : withoutPositions(above === '' ? key : `${above}.${key}`);
      if (!key.startsWith('$') && isSealed(path) && !asksForPresence(value)) refuse(path);
      if (key !== '$exists') walk(value, path);
    }
  };
  walk(filter, '');
}

function isPlain(node: unknown): node is Plain {
  return typeof node === 'object' && node !== null && !Array.isArray(node) && !(node instanceof Date) && !(node instanceof RegExp);
}

function asksForPresence(value: unknown): boolean {
  return isPlain(value) && Object.keys(value).length === 1 && typeof value['$exists'] === 'boolean';
}
