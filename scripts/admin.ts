import { createOperator, findUserByEmail, switchOffMfa, unlockUser } from '../src/modules/identity/index.ts';
import { PLATFORM_COMPANY_ID, systemCtx } from '../src/platform/context.ts';
import type { StaffRole } from '../src/platform/permissions.ts';
import { say } from './lib/output.ts';
import { withSession } from './lib/session.ts';

async function passwordFromInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8').replace(/\r?\n$/, '');
}

/** Makes a staff user; the password comes from standard input, the id goes out as JSON. */
export async function createOperatorCommand({ email, name, role }: { email: string; name: string; role: StaffRole }): Promise<number> {
  const password = await passwordFromInput();
  return withSession(async () => {
    const user = await createOperator(systemCtx('cli', PLATFORM_COMPANY_ID), { email, name, role, password });
    say(JSON.stringify({ id: user._id }));
    return 0;
  });
}

/** Lifts the lock-out of a user; exit code 1 when nobody has the address. */
export async function unlockCommand(email: string): Promise<number> {
  return withSession(async () => {
    const user = await findUserByEmail(email);
    if (user) await unlockUser(systemCtx('cli', PLATFORM_COMPANY_ID), user._id);
    say(JSON.stringify({ unlocked: user !== undefined }));
    return user ? 0 : 1;
  });
}

/** Switches off the two-step sign-in of a user who has lost it; exit code 1 when nobody has the address. */
export async function disableMfaCommand({ email, reason }: { email: string; reason: string }): Promise<number> {
  return withSession(async () => {
    const user = await findUserByEmail(email);
    if (user) await switchOffMfa(systemCtx('cli', PLATFORM_COMPANY_ID), user._id, reason);
    say(JSON.stringify({ disabled: user !== undefined }));
    return user ? 0 : 1;
  });
}
