import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** CPU milliseconds that a process has used so far (Linux). */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1000;
}

/** Resident memory of a process in MB. */
export function rssMb(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** The p-quantile (0..1) of some figures. */
export function quantile(figures: readonly number[], p: number): number {
  const sorted = Float64Array.from(figures).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

export const median = (figures: readonly number[]): number => quantile(figures, 0.5);

/** What a closed loop of callers saw. */
export interface LoopResult {
  ok: number;
  seconds: number;
  latenciesMs: number[];
  outcomes: Record<string, number>;
}

/** `callers` callers that each call again when answered, for `durationMs` or until `total` calls. */
export async function closedLoop(options: { callers: number; durationMs: number; total?: number }, call: (n: number) => Promise<string>): Promise<LoopResult> {
  const { callers, durationMs, total = Infinity } = options;
  const latenciesMs: number[] = [];
  const outcomes: Record<string, number> = {};
  let issued = 0;
  const started = performance.now();
  const end = started + durationMs;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end && issued < total) {
        const n = issued;
        issued += 1;
        const at = performance.now();
        let outcome: string;
        try {
          outcome = await call(n);
        } catch (error) {
          outcome = `error ${error instanceof Error ? error.message.slice(0, 80) : ''}`;
        }
        latenciesMs.push(performance.now() - at);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
    }),
  );
  return { ok: outcomes['ok'] ?? 0, seconds: (performance.now() - started) / 1000, latenciesMs, outcomes };
}

export interface Figure {
  name: string;
  value: number;
  unit: string;
  goal?: string;
  reached?: boolean;
  note?: string;
}

const figures: Figure[] = [];

/** Prints one figure as a JSON line and keeps it for the table. */
export function report(figure: Figure): void {
  const rounded = { ...figure, value: Math.round(figure.value * 1000) / 1000 };
  figures.push(rounded);
  process.stdout.write(`${JSON.stringify(rounded)}\n`);
}

/** Prints everything reported as a table; answers how many goals were missed. */
export function printTable(): number {
  const rows = figures.map((f) => [f.name, `${f.value} ${f.unit}`, f.goal ?? '', f.reached === undefined ? '' : f.reached ? 'reached' : 'MISSED', f.note ?? '']);
  const head = ['figure', 'value', 'goal', '', 'note'];
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => (r[i] ?? '').length)));
  const line = (cells: string[]): string => cells.map((c, i) => c.padEnd(widths[i] ?? 0)).join('  ').trimEnd();
  process.stdout.write(`\n${line(head)}\n${widths.map((w) => '-'.repeat(w)).join('  ')}\n${rows.map(line).join('\n')}\n`);
  return figures.filter((f) => f.reached === false).length;
}
