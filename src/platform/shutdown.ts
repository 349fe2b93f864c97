import { monotonicMs } from './clock.ts';

/** The order in which a process ends: nothing new, then what runs, then what everything stands on. */
export const SHUTDOWN_STAGES = ['stopAccepting', 'finishRequests', 'stopJobs', 'closeConnections'] as const;

export type ShutdownStage = (typeof SHUTDOWN_STAGES)[number];

export interface Shutdown {
  /** Adds a step; steps of one stage run together, stages one after the other. */
  on(stage: ShutdownStage, name: string, stop: () => Promise<void> | void): void;
  /** Begins the end once; a second call forces it. Resolves with the exit code that was handed to `exit`. */
  begin(reason: string, exitCode?: number): Promise<number>;
  /** True from the first `begin` on; readiness answers 503 from then. */
  isEnding(): boolean;
  /** Follows SIGTERM and SIGINT of this process until the returned function is called. */
  followSignals(source: SignalSource): () => void;
}

/** `process`, or a stand-in. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

interface Step {
  readonly stage: ShutdownStage;
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

/**
 * Ends a process in order. Exit code 0 (or the one given) when every step ended in `graceMs`, 1 when a step failed,
 * the grace ran out or a second signal came. A step that fails is logged and does not keep the others from running.
 */
export function makeShutdown(deps: {
  graceMs: number;
  /** Signals this soon after the first are the same wish; default 500 ms. */
  sameWishMs?: number;
  exit: (code: number) => void;
  log: {
    info(event: string, fields?: Record<string, unknown>): void;
    error(event: string, fields?: Record<string, unknown>): void;
  };
}): Shutdown {
  const steps: Step[] = [];
  let ending: { force(): void; exited: Promise<number> } | undefined;

  async function runStep(step: Step): Promise<boolean> {
    try {
      await step.stop();
      return true;
    } catch (error) {
      deps.log.error('shutdown.step_failed', { step: step.name, error });
      return false;
    }
  }

  async function runStages(): Promise<boolean> {
    let clean = true;
    for (const stage of SHUTDOWN_STAGES) {
      const ends = await Promise.all(steps.filter((step) => step.stage === stage).map(runStep));
      clean &&= ends.every(Boolean);
    }
    return clean;
  }

  function begin(reason: string, exitCode = 0): Promise<number> {
    if (ending) {
      ending.force();
      return ending.exited;
    }
    const startedMs = monotonicMs();
    const { promise: exited, settle } = once((code: number, how: string) => {
      clearTimeout(timer);
      deps.log.info('shutdown.ended', { reason, how, exitCode: code, durationMs: Math.round(monotonicMs() - startedMs) });
      deps.exit(code);
    });
    const timer = setTimeout(() => settle(1, 'grace_over'), deps.graceMs);
    ending = { exited, force: () => settle(1, 'forced') };
    deps.log.info('shutdown.begun', { reason, graceMs: deps.graceMs });
    void runStages().then((clean) => settle(clean ? exitCode : 1, clean ? 'drained' : 'step_failed'));
    return exited;
  }

  return {
    on: (stage, name, stop) => void steps.push({ stage, name, stop }),
    begin,
    isEnding: () => ending !== undefined,
    followSignals(source) {
      let firstMs = -Infinity;
      // Ctrl-C under npm arrives twice, from the terminal and from npm: that is one wish, not a second one.
      const heed = (signal: string): void => {
        if (ending && monotonicMs() - firstMs < (deps.sameWishMs ?? 500)) return;
        if (!ending) firstMs = monotonicMs();
        void begin(signal);
      };
      const onTerm = (): void => heed('SIGTERM');
      const onInt = (): void => heed('SIGINT');
      source.on('SIGTERM', onTerm);
      source.on('SIGINT', onInt);
      return () => {
        source.off('SIGTERM', onTerm);
        source.off('SIGINT', onInt);
      };
    },
  };
}

function once(act: (code: number, how: string) => void): { promise: Promise<number>; settle: (code: number, how: string) => void } {
  let settled = false;
  let resolve: (code: number) => void = () => undefined;
  const promise = new Promise<number>((done) => {
    resolve = done;
  });
  const settle = (code: number, how: string): void => {
    if (settled) return;
    settled = true;
    act(code, how);
    resolve(code);
  };
  return { promise, settle };
}
