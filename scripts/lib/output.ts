import { Presets, SingleBar } from 'cli-progress';

/** Writes one line to standard output. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Progress of a long command: a bar on a terminal, one JSON line per step otherwise. */
export interface Progress {
  set(done: number, total: number, what: string): void;
  stop(): void;
}

/** Makes the progress display that fits the output. */
export function makeProgress(label: string): Progress {
  if (!process.stdout.isTTY) {
    let last = '';
    return {
      set(done, total, what) {
        const line = JSON.stringify({ step: label, what, done, total });
        if (line !== last && (done === total || total <= 20 || done % Math.ceil(total / 20) === 0)) say(line);
        last = line;
      },
      stop: () => undefined,
    };
  }
  const bar = new SingleBar({ format: `${label.padEnd(10)} {bar} {percentage}% {value}/{total} {what}`, hideCursor: true, clearOnComplete: false }, Presets.shades_classic);
  let started = false;
  return {
    set(done, total, what) {
      if (!started) bar.start(total, done, { what });
      started = true;
      bar.setTotal(total);
      bar.update(done, { what });
    },
    stop: () => bar.stop(),
  };
}

/** A table of text columns, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((r) => r.map(String));
  const widths = head.map((h, i) => Math.max(h.length, ...cells.map((r) => r[i]?.length ?? 0)));
  const numeric = head.map((_, i) => rows.length > 0 && rows.every((r) => typeof r[i] === 'number' || /^-?[\d,]+(\.\d+)?$/.test(String(r[i] ?? ''))));
  const line = (r: readonly string[]): string => r.map((c, i) => (numeric[i] ? c.padStart(widths[i] ?? 0) : c.padEnd(widths[i] ?? 0))).join('  ').trimEnd();
  return [line(head), widths.map((w) => '-'.repeat(w)).join('  '), ...cells.map(line)].join('\n');
}
