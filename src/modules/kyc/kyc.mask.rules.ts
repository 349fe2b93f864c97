/** `XXXXXX234F`: the last four characters of a PAN. */
export function maskPan(pan: string): string {
  return `XXXXXX${pan.slice(-4)}`;
}

/** The last four digits of an account number, whatever its length. */
export function maskAccount(account: string): string {
  return `XXXXXX${account.slice(-4)}`;
}

/** The first letter of each word, and stars that say nothing about its length. */
export function maskName(name: string): string {
  return name
    .split(/\s+/)
    .filter((word) => word !== '')
    .slice(0, 4)
    .map((word) => `${[...word][0] ?? ''}***`)
    .join(' ');
}
