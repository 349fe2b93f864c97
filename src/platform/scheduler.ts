import { now, nowMs } from './clock.ts';
import { PLATFORM_COMPANY_ID, systemCtx, type OutsideTx } from './context.ts';
import { machineRows } from './db/machine-rows.ts';
import { runtime } from './runtime.ts';

/** Work that repeats; each tick runs once across all instances. */
export interface Schedule {
  name: string;
  everySeconds: number;
  run(ctx: OutsideTx): Promise<void>;
}

interface ScheduleRow {
  _id: string;
  nextAt: Date;
}

const rows = machineRows<ScheduleRow>('schedules', []);

export interface Scheduler {
  start(): void;
  stop(): Promise<void>;
  /** Runs what is due now; answers the names that ran here. */
  tick(): Promise<string[]>;
}

/** Makes the scheduler of this process: whoever moves the row's `nextAt` first runs the tick, nobody else does. */
export function makeScheduler(schedules: readonly Schedule[], checkEveryMs = 1_000): Scheduler {
  let timer: NodeJS.Timeout | undefined;
  let current: Promise<unknown> | undefined;

  const tick = async (): Promise<string[]> => {
    const ran: string[] = [];
    const known = new Map((await rows.find({ _id: { $in: schedules.map(({ name }) => name) } })).map(({ _id, nextAt }) => [_id, nextAt.getTime()]));
    for (const schedule of schedules) {
      const due = known.get(schedule.name);
      if (due !== undefined && due > nowMs()) continue;
      if (due === undefined) await rows.insertNew([{ _id: schedule.name, nextAt: now() }]);
      const nextAt = new Date(nowMs() + schedule.everySeconds * 1000);
      const mine = await rows.change({ _id: schedule.name, nextAt: { $lte: now() } }, { $set: { nextAt } });
      if (!mine) continue;
      ran.push(schedule.name);
      await schedule.run(systemCtx(`schedule:${schedule.name}`, PLATFORM_COMPANY_ID)).catch((error: unknown) => {
        runtime().log.error('schedule.failed', { schedule: schedule.name, error });
      });
    }
    return ran;
  };

  return {
    start() {
      timer = setInterval(() => {
        current ??= tick()
          .catch((error: unknown) => runtime().log.warn('scheduler.failed', { error }))
          .finally(() => {
            current = undefined;
          });
      }, checkEveryMs);
    },
    async stop() {
      clearInterval(timer);
      await current;
    },
    tick,
  };
}
