import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import argon2 from 'argon2';
import { monotonicMs } from './clock.ts';
import { unavailable } from './errors.ts';
import { pause } from './pause.ts';

/** OWASP's second recommended set for argon2id: 19 MiB, two passes, one lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1, hashLength: 32 } as const;

/** How long a place rests after a hash, as a multiple of what the hash took. */
const REST = 2;
/** A machine that is busy with other things makes a hash take long; resting as long would help nobody. */
const MAX_REST_MS = 50;

export interface Passwords {
  /** The argon2id hash to store; 503 `busy` when too many wait. */
  hash(password: string): Promise<string>;
  /**
   * True when the password fits. Without a stored hash (unknown user) it works as long and answers false.
   * 503 `busy` when too many wait.
   */
  verify(storedHash: string | undefined, password: string): Promise<boolean>;
  /** True for a hash of weaker or other parameters: hash again at the next login that succeeds. */
  needsRehash(storedHash: string): boolean;
}

/** Hashing with at most `concurrency` at once (default half the cores) and a queue of `maxWaiting` before 503 `busy`. */
export function makePasswords(options: { concurrency?: number; maxWaiting?: number } = {}): Passwords {
  const concurrency = options.concurrency ?? Math.max(1, Math.floor(availableParallelism() / 2));
  const gate = makeGate(concurrency, options.maxWaiting ?? 64);
  const nobody = unmatchableHash();
  return {
    hash: (password) => gate(() => argon2.hash(canonical(password), PARAMETERS)),
    verify: (storedHash, password) =>
      gate(async () => {
        const known = storedHash?.startsWith('$argon2id$') === true;
        const fits = await argon2.verify(known ? storedHash : nobody, canonical(password));
        return known && fits;
      }),
    needsRehash: (storedHash) => !storedHash.startsWith('$argon2id$') || argon2.needsRehash(storedHash, PARAMETERS),
  };
}

/**
 * Runs at most `concurrency` at once, keeps at most `maxWaiting` waiting, first come first served. Each place rests twice
 * as long as it has worked, so a flood of sign-ins leaves the processor to everybody else (decision 068); who
 * comes alone waits for nothing, unless he comes again at once.
 */
function makeGate(concurrency: number, maxWaiting: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  const release = (): void => {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  };
  return async (work) => {
    if (running >= concurrency) {
      if (waiting.length >= maxWaiting) throw unavailable('busy', 'Too many sign-ins at once; try again in a moment', 2);
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running += 1;
    }
    const started = monotonicMs();
    try {
      return await work();
    } finally {
      void pause(Math.min(MAX_REST_MS, REST * (monotonicMs() - started))).then(release);
    }
  };
}

/** The same text typed on two keyboards has one form (NFKC, as NIST SP 800-63B asks). */
function canonical(password: string): string {
  return password.normalize('NFKC');
}

/** A hash in the usual parameters that no password has: its salt and its digest are random. */
function unmatchableHash(): string {
  const part = (bytes: number): string => randomBytes(bytes).toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=${PARAMETERS.memoryCost},t=${PARAMETERS.timeCost},p=${PARAMETERS.parallelism}$${part(16)}$${part(32)}`;
}

/** Facts of the user that must not make up the password. */
export interface PasswordOwner {
  readonly email?: string;
  readonly name?: string;
  readonly companyName?: string;
}

/** Says what is wrong with a new password, every problem at once; empty when it may be used. */
export type PasswordPolicy = (password: string, owner: PasswordOwner) => string[];

const MIN_LENGTH = 12;
const MAX_LENGTH = 128;
const CLASSES = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{Ll}\p{Lu}\p{Nd}]/u];

/** The policy over a list of common passwords (lower case): 12–128 code points, three of four classes, not common, not one's own names. */
export function makePasswordPolicy(common: ReadonlySet<string>): PasswordPolicy {
  return (password, owner) => {
    const problems: string[] = [];
    const length = [...password].length;
    if (length < MIN_LENGTH) problems.push(`must have at least ${MIN_LENGTH} characters`);
    if (length > MAX_LENGTH) problems.push(`must have at most ${MAX_LENGTH} characters`);
    if (/\p{Cs}/u.test(password)) problems.push('must be valid Unicode text');
    if (CLASSES.filter((kind) => kind.test(password)).length < 3) {
      problems.push('must mix at least three of: lower-case letters, upper-case letters, digits, other characters');
    }
    const forms = plainForms(password.slice(0, 4 * MAX_LENGTH));
    if (forms.some((form) => common.has(form) || isRepeat(form)) || new Set(password).size < 5) problems.push('is too common; choose one that nobody else uses');
    if (ownWords(owner).some((word) => forms.some((form) => form.includes(word)))) {
      problems.push("must not contain your name, your e-mail address or your company's name");
    }
    return problems;
  };
}

const LOOKALIKES: Readonly<Record<string, string>> = { '@': 'a', '4': 'a', '3': 'e', '1': 'i', '!': 'i', '0': 'o', $: 's', '5': 's', '7': 't' };

/** What people start from: the text in lower case, without the digits and signs around it, and with look-alikes undone. */
function plainForms(password: string): string[] {
  const lower = canonical(password).toLowerCase();
  const undo = (text: string): string => text.replace(/[@431!0$57]/g, (sign) => LOOKALIKES[sign] ?? sign);
  const withoutSigns = lower.replace(/[^\p{L}\p{Nd}]+$/u, '');
  const core = lower.replace(/[^\p{L}]+$/u, '');
  const bare = core.replace(/^[^\p{L}]+/u, '');
  const tail = lower.replace(/^[^\p{L}\p{Nd}]+/u, '');
  const joined = lower.replace(/[^\p{L}\p{Nd}]/gu, '');
  const forms = [lower, withoutSigns, core, bare, tail, joined, undo(lower), undo(withoutSigns), undo(core), undo(bare)];
  return [...new Set(forms)].filter((form) => form.length >= 3);
}

/** `abcabcabcabc`: a short piece three times or more. */
function isRepeat(form: string): boolean {
  return /^(.{1,4})\1{2,}$/u.test(form);
}

function ownWords(owner: PasswordOwner): string[] {
  const texts = [owner.email?.split('@')[0], owner.name, owner.companyName];
  const words = texts.flatMap((text) => {
    const lower = (text ?? '').normalize('NFKC').toLowerCase();
    return [lower.replace(/[^\p{L}\p{Nd}]/gu, ''), ...lower.split(/[^\p{L}\p{Nd}]+/u)];
  });
  return [...new Set(words)].filter((word) => [...word].length >= 4 && !FILLER.has(word));
}

/** Words of company names that say nothing about whose they are. */
const FILLER = new Set(['private', 'limited', 'company', 'traders', 'trading', 'enterprises', 'india', 'store', 'stores', 'shop', 'mail', 'info', 'owner', 'test']);

/** The list in data/common-passwords.txt: one a line, `#` begins a remark. */
export async function loadCommonPasswords(path: string | URL): Promise<ReadonlySet<string>> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  return new Set(lines.map((line) => line.trim().toLowerCase()).filter((line) => line !== '' && !line.startsWith('#')));
}
