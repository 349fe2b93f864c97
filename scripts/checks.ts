import { runChecks } from '../src/platform/checks.ts';
import { say } from './lib/output.ts';
import { withSession } from './lib/session.ts';

const MOST_SHOWN = 50;

/** Runs every invariant check; exit code 1 when one found something. */
export async function checksCommand(): Promise<number> {
  return withSession(async () => showChecks());
}

/** Runs the checks and prints one line each, then each violation; answers the exit code. */
export async function showChecks(): Promise<number> {
  const { ok, checks } = await runChecks();
  for (const { name, ms, violations, ...check } of checks) {
    say(`${check.ok ? 'ok  ' : 'FAIL'} ${name} (${ms} ms)`);
    for (const violation of violations.slice(0, MOST_SHOWN)) say(`     ${violation}`);
  }
  say(ok ? 'every check holds' : `${checks.reduce((sum, { count }) => sum + count, 0)} violations`);
  return ok ? 0 : 1;
}
