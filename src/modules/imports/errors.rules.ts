import type { RowFault } from './grouping.rules.ts';

/** First line of errors.csv. */
export const ERRORS_CSV_HEADER = 'line,record,field,message\r\n';

/** One CSV cell that no spreadsheet takes for a formula: text beginning with = + - @, tab or CR gets an apostrophe. */
export function csvSafeCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",;\r\n\t]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The lines of errors.csv for one faulty record, one for each fault, CRLF after each. */
export function errorsCsvRows(fault: Pick<RowFault, 'line' | 'record' | 'faults'>): string {
  return fault.faults
    .map(({ line, record, field, message }) =>
      `${[line ?? fault.line, record ?? fault.record, field, message].map(csvSafeCell).join(',')}\r\n`,
    )
    .join('');
}
