import { csvRow } from '../../platform/csv.ts';
import type { RowFault } from './grouping.rules.ts';

/** First line of errors.csv. */
export const ERRORS_CSV_HEADER = csvRow(['line', 'record', 'field', 'message']);

/** The lines of errors.csv for one faulty record, one for each fault, CRLF after each. */
export function errorsCsvRows(fault: Pick<RowFault, 'line' | 'record' | 'faults'>): string {
  return fault.faults.map(({ line, record, field, message }) => csvRow([line ?? fault.line, record ?? fault.record, field, message])).join('');
}
