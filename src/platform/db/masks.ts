/** The usual ways of showing a little of a value; a declaration may give its own function instead. */
export const MASKS = {
  none: () => '[sealed]',
  /** The last letter alone says nothing of the holder. */
  pan: (value: string) => `${'X'.repeat(Math.max(0, value.length - 1))}${value.slice(-1)}`,
  /** Of a short value four characters would be most of it. */
  last4: (value: string) => (value.length < 8 ? 'X'.repeat(value.length) : `${'X'.repeat(value.length - 4)}${value.slice(-4)}`),
  name: maskName,
  street: () => '***',
  gstin: maskGstin,
  phone: maskPhone,
  email: maskEmail,
} as const;

export type MaskName = keyof typeof MASKS;

/** `A*** R***`: the first letter of each word, whatever its length. */
export function maskName(name: string): string {
  return name
    .trim()
    .split(/\s+/)
    .slice(0, 3)
    .map((word) => `${[...word][0] ?? ''}***`)
    .join(' ');
}

/** The state, then nothing but the last four characters: the PAN between them is the holder's. */
export function maskGstin(gstin: string): string {
  return `${gstin.slice(0, 2)}XXXXXXXXX${gstin.slice(-4)}`;
}

/** `+91******3210`: country and the last four digits. */
export function maskPhone(phone: string): string {
  return `${phone.slice(0, 3)}${'*'.repeat(Math.max(0, phone.length - 7))}${phone.slice(-4)}`;
}

/** `a***@example.in`: the first letter and the domain. */
export function maskEmail(email: string): string {
  const at = email.lastIndexOf('@');
  return `${email.slice(0, 1)}***${email.slice(at)}`;
}
