import { allChecks } from '../src/modules.ts';
import { monotonicMs } from '../src/platform/clock.ts';
import { say } from './lib/output.ts';
import { withSession } from './lib/session.ts';

/** Runs every invariant check; exit code 1 when one found something. */
export async function checksCommand(): Promise<number> {
  return withSession(async () => runChecks());
}

/** Prints one line a check, then each violation; answers the exit code. */
export async function runChecks(): Promise<number> {
  let faults = 0;
  for (const check of allChecks()) {
    const started = monotonicMs();
    const found = await check.run();
    faults += found.length;
    say(`${found.length === 0 ? 'ok  ' : 'FAIL'} ${check.name} (${Math.round(monotonicMs() - started)} ms)`);
    for (const fault of found.slice(0, 50)) say(`     ${fault}`);
  }
  say(faults === 0 ? 'every check holds' : `${faults} violations`);
  return faults === 0 ? 0 : 1;
}
