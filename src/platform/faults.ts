import { invalidFields, type FieldFault } from './errors.ts';

/** Gathers the faults of one input, so that all are told at once. */
export interface Faults {
  add(path: string, message: string): void;
  /** The parsed value, or an empty text after noting the problem. */
  take(path: string, parsed: { ok: true; value: string } | { ok: false; problem: string }): string;
  /** 400 `validation_failed` when anything was noted. */
  throwIfAny(): void;
}

/** Makes an empty list of faults. */
export function makeFaults(): Faults {
  const fields: FieldFault[] = [];
  return {
    add(path, message) {
      fields.push({ path, message });
    },
    take(path, parsed) {
      if (parsed.ok) return parsed.value;
      fields.push({ path, message: parsed.problem });
      return '';
    },
    throwIfAny() {
      if (fields.length > 0) throw invalidFields(fields);
    },
  };
}
