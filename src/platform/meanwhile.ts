import { nextTurn } from './pause.ts';

/**
 * Does `work` while a command is on its way; answers what the command answered and what the work made. Both have ended
 * when it throws: the command's fault, or else the work's.
 */
export async function meanwhile<T, W>(sent: Promise<T>, work: () => W | Promise<W>): Promise<[answered: T, made: W]> {
  // In this turn the driver has not written the command yet.
  const [answered, made] = await Promise.allSettled([sent, nextTurn().then(work)]);
  if (answered.status === 'rejected') throw answered.reason;
  if (made.status === 'rejected') throw made.reason;
  return [answered.value, made.value];
}
