import { randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';

const STEP_SECONDS = 30;
const RECOVERY_KEYS = 10;
/** 120 random bits: 24 characters in base32. */
const RECOVERY_BYTES = 15;

/** What an authenticator is given: the secret, and the same as an otpauth address for a QR code. */
export interface Enrolment {
  secret: string;
  otpauthUrl: string;
}

function totp(secret: string, label = ''): TOTP {
  return new TOTP({ issuer: 'Dakiya', label, algorithm: 'SHA1', digits: 6, period: STEP_SECONDS, secret: Secret.fromBase32(secret) });
}

/** A new TOTP secret of 160 bits for somebody, named by his e-mail address. */
export function newEnrolment(email: string): Enrolment {
  const secret = new Secret({ size: 20 }).base32;
  return { secret, otpauthUrl: totp(secret, email).toString() };
}

/** The step whose code this is, one step of tolerance to each side; undefined for a wrong code. */
export function stepOf(secret: string, code: string, atMs: number): number | undefined {
  const delta = totp(secret).validate({ token: code, timestamp: atMs, window: 1 });
  return delta === null ? undefined : Math.floor(atMs / 1000 / STEP_SECONDS) + delta;
}

/** True for what can only be a code of an authenticator. */
export function isCode(text: string): boolean {
  return /^\d{6}$/.test(text);
}

/** Ten new recovery keys `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`. */
export function newRecoveryKeys(): string[] {
  return Array.from({ length: RECOVERY_KEYS }, () => {
    const text = new Secret({ buffer: new Uint8Array(randomBytes(RECOVERY_BYTES)).buffer }).base32;
    return (text.match(/.{4}/g) ?? []).join('-');
  });
}

/** One spelling of a typed code or recovery key. */
export function plainCode(text: string): string {
  return text.replace(/[\s-]/g, '').toUpperCase();
}
