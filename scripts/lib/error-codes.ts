import { readFile, readdir } from 'node:fs/promises';

const CODE = "'([a-z]+(?:_[a-z0-9]+)*)'";

/** The ways in which the source names a code: factories, their helpers, declared refusals of routes, failed outcomes. */
const NAMED = [
  new RegExp(`\\b(?:invalid|unauthenticated|forbidden|conflict|limited|unavailable|listing|refuse|refusal|refused)\\(\\s*${CODE}`, 'g'),
  new RegExp(`(?:new AppError|super)\\(\\s*'[a-z_]+',\\s*${CODE}`, 'g'),
  new RegExp(`\\bcode = ${CODE}`, 'g'),
  new RegExp(`ok: false,[^}]*?\\bcode: ${CODE}`, 'g'),
  new RegExp(`return \\{ code: ${CODE}, message`, 'g'),
];
const LISTS = /\berrors: \[([^\]]*)\]/g;
const MISSING = new RegExp(`\\bnotFound\\(${CODE}\\)`, 'g');
const ROWS = new RegExp(`\\browName: ${CODE}`, 'g');

/** Every error code that the source under `root` can answer, sorted; rows give `<row>_not_found` and `<row>_exists`. */
export async function errorCodesIn(root: string): Promise<string[]> {
  const codes = new Set<string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const text = await readFile(`${entry.parentPath}/${entry.name}`, 'utf8');
    for (const pattern of NAMED) for (const code of found(text, pattern)) codes.add(code);
    for (const list of found(text, LISTS)) for (const code of found(list, new RegExp(CODE, 'g'))) codes.add(code);
    for (const what of found(text, MISSING)) codes.add(`${what}_not_found`);
    for (const row of found(text, ROWS)) codes.add(`${row}_not_found`).add(`${row}_exists`);
  }
  return [...codes].sort();
}

function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

/** What a page lists: codes that begin a row of a table, and things, whose codes it describes as two families. */
export interface ListedCodes {
  codes: string[];
  things: string[];
}

/** Reads the codes and things off the page. */
export function errorCodesListed(markdown: string): ListedCodes {
  const [things = ''] = found(markdown, /^Things: (.*)$/gm);
  return { codes: found(markdown, /^\| `([a-z_0-9]+)` \|/gm), things: found(things, /`([a-z_]+)`/g) };
}

/** True for a code with a row of its own, or of a family of a listed thing. */
export function isListed({ codes, things }: ListedCodes, code: string): boolean {
  return codes.includes(code) || things.some((thing) => code === `${thing}_not_found` || code === `${thing}_exists`);
}
