import { domainToASCII } from 'node:url';
import { forbidden, type AppError } from '../../platform/errors.ts';
import type { Faults } from '../../platform/faults.ts';
import { parseMobile } from '../../platform/identifiers.ts';
import type { Role } from '../../platform/permissions.ts';

const LOCAL_PART = /^[^\s@"(),:;<>[\]\\\p{Cc}]{1,64}$/u;
const DOMAIN = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/;

/** The one form of an e-mail address: trimmed, lower case, the domain in ASCII; a problem when it is none. */
export function parseEmail(text: string): { ok: true; value: string } | { ok: false; problem: string } {
  const cleaned = text.normalize('NFKC').trim().toLowerCase();
  const at = cleaned.lastIndexOf('@');
  const local = cleaned.slice(0, Math.max(0, at));
  const domain = domainToASCII(cleaned.slice(at + 1));
  const value = `${local}@${domain}`;
  if (at < 1 || value.length > 254 || !LOCAL_PART.test(local) || local.includes('..') || !DOMAIN.test(domain)) {
    return { ok: false, problem: 'This is not an e-mail address' };
  }
  return { ok: true, value };
}

/** A person's or company's name as it is stored: trimmed, inner blanks single, NFC; notes an empty one. */
export function parseName(faults: Faults, path: string, text: string): string {
  const name = text.normalize('NFC').replace(/\s+/gu, ' ').trim();
  if (name === '') faults.add(path, 'must not be empty');
  else if (/\p{Cc}/u.test(name)) faults.add(path, 'must not have control characters');
  return name;
}

/** The phone as E.164, or undefined when none was given; notes one that is no mobile number. */
export function parsePhone(faults: Faults, text: string | undefined): string | undefined {
  return text === undefined ? undefined : faults.take('phone', parseMobile(text));
}

/** Who may give, change or take a role: owners every role of a company, admins every one but owner. */
export function mayManage(actorRole: string | undefined, role: Role): boolean {
  if (role === 'operator' || role === 'platform_admin') return false;
  return actorRole === 'owner' || (actorRole === 'admin' && role !== 'owner');
}

/** 403 for a role that the asker may not manage. */
export function roleRefused(role: Role): AppError {
  return forbidden('role_not_allowed', `Your role does not let you manage a member with the role ${role}`);
}

export interface AttemptState {
  count: number;
  windowEndsAt: Date;
  lockedUntil?: Date;
}

/** Seconds until a locked counter opens again, at least 1; 0 when it is open. */
export function lockedForSeconds(state: AttemptState | undefined, at: Date): number {
  if (!state?.lockedUntil || state.lockedUntil <= at) return 0;
  return Math.max(1, Math.ceil((state.lockedUntil.getTime() - at.getTime()) / 1000));
}
