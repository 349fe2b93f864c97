import { monotonicMs, now } from './clock.ts';
import type { Check } from './module.ts';
import { runtime } from './runtime.ts';

/** What one check found; `violations` holds the first 100 sentences, `count` says how many there are. */
export interface CheckReport {
  name: string;
  ok: boolean;
  ms: number;
  count: number;
  violations: string[];
}

/** One run of every check. */
export interface ChecksReport {
  ok: boolean;
  startedAt: Date;
  checks: CheckReport[];
}

const MAX_SHOWN = 100;

let registered: readonly Check[] = [];
let running: Promise<ChecksReport> | undefined;

/** Says which checks this process runs; called once at start, because modules do not know each other's. */
export function registerChecks(checks: readonly Check[]): void {
  registered = checks;
}

/** Runs every registered check, one after the other; callers of the same moment share one run. */
export function runChecks(): Promise<ChecksReport> {
  running ??= runAll().finally(() => {
    running = undefined;
  });
  return running;
}

async function runAll(): Promise<ChecksReport> {
  const startedAt = now();
  const checks: CheckReport[] = [];
  for (const check of registered) checks.push(await runOne(check));
  return { ok: checks.every((c) => c.ok), startedAt, checks };
}

/** A check that cannot run is a violation too: nobody knows whether its rule holds. */
async function runOne(check: Check): Promise<CheckReport> {
  const started = monotonicMs();
  const found = await lookTwice(check).catch((error: unknown) => {
    runtime().log.error('check.broken', { check: check.name, error });
    return ['the check could not run; see the log'];
  });
  const ms = Math.round(monotonicMs() - started);
  return { name: check.name, ok: found.length === 0, ms, count: found.length, violations: found.slice(0, MAX_SHOWN) };
}

/**
 * What a check finds at two looks. Its reads are not of one moment, so a change that commits between them looks like a
 * violation once. Numbers may differ: what is broken goes on being counted.
 */
async function lookTwice(check: Check): Promise<string[]> {
  const first = await check.run();
  if (first.length === 0) return first;
  const seen = new Set(first.map(withoutNumbers));
  return (await check.run()).filter((sentence) => seen.has(withoutNumbers(sentence)));
}

function withoutNumbers(sentence: string): string {
  return sentence.replace(/\b\d+\b/g, '#');
}
