import { strict as assert } from 'node:assert';
import { PASSWORD, startWorld } from '../test/support/world.ts';

const TRIES = 50;
const MOST_APART = 0.2;

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Requirement 14: of 50 tries each, the medians for known and unknown addresses are at most 20 % apart, at login and at forgot. */
export async function measureEnumeration(): Promise<void> {
  const world = await startWorld({ SIGN_IN_DELAY_MS: '0' });
  try {
    const owner = await world.merchant({ verified: false, location: false });
    const asks = {
      login: (email: string) => world.api('POST', '/v1/auth/login', { body: { email, password: `${PASSWORD}!` } }),
      forgot: (email: string) => world.api('POST', '/v1/auth/password/forgot', { body: { email } }),
    };
    for (const [name, ask] of Object.entries(asks)) {
      const times = { known: [] as number[], unknown: [] as number[] };
      for (let i = 0; i < TRIES; i += 1) {
        for (const [kind, email] of [['known', owner.email], ['unknown', 'nobody@example.in']] as const) {
          const started = performance.now();
          await ask(email);
          times[kind].push(performance.now() - started);
        }
      }
      const [known, unknown] = [median(times.known), median(times.unknown)];
      const apart = Math.abs(known - unknown) / Math.max(known, unknown);
      console.log(JSON.stringify({ bench: `enumeration.${name}`, knownMs: +known.toFixed(2), unknownMs: +unknown.toFixed(2), apart: +apart.toFixed(3) }));
      assert.ok(apart <= MOST_APART, `${name} tells known addresses from unknown ones`);
    }
  } finally {
    await world.close();
  }
}

await measureEnumeration();
