import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { AppError, unavailable } from '../../../platform/errors.ts';
import type { PaperReply, PaperRequest } from './paper-thread.ts';
import type { PaperKind, PaperViews } from './render.ts';

interface Seat {
  worker: Worker;
  idleTimer?: NodeJS.Timeout;
}

const MOST_WORKERS = Math.max(1, Math.min(2, availableParallelism() - 1));
const MOST_WAITING = 64;
const IDLE_MS = 30_000;
const START_MS = 10_000;
const JOB_MS = 120_000;
const MEMORY_MB = 256;
const FROM_SOURCE = import.meta.url.endsWith('.ts');
const THREAD_FILE = new URL(`./paper-thread${FROM_SOURCE ? '.ts' : '.js'}`, import.meta.url);
/** Node 20 gives a worker none of tsx's hooks, so from source (in tests) the worker has to set them up itself. */
const SOURCE_THREAD = `import('tsx/esm/api').then(({ register }) => {
  register();
  return import(${JSON.stringify(THREAD_FILE.href)});
})`;

const idle: Seat[] = [];
const busy = new Set<Promise<unknown>>();
const waiting: Array<() => void> = [];
let running = 0;

/**
 * Draws papers away from the request thread; on it when no worker can start. Refuses what renderPaper refuses, and with
 * 503 `papers_busy` when 64 jobs wait already or `papers_failed` when a worker dies or takes longer than two minutes.
 */
export async function renderInWorker<K extends PaperKind>(kind: K, views: PaperViews[K]): Promise<Buffer> {
  if (running >= MOST_WORKERS) {
    if (waiting.length >= MOST_WAITING) throw unavailable('papers_busy', 'Too many papers are being drawn; try again', 5);
    await new Promise<void>((resolve) => waiting.push(resolve));
  } else running += 1;
  const job = runJob(kind, views);
  busy.add(job);
  try {
    return await job;
  } finally {
    busy.delete(job);
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

/** Waits for the running and waiting jobs, then ends every worker; a later job starts one again. */
export async function closePaperWorkers(): Promise<void> {
  while (running > 0) await Promise.allSettled(busy);
  await Promise.all(idle.splice(0).map((seat) => endSeat(seat)));
}

async function runJob<K extends PaperKind>(kind: K, views: PaperViews[K]): Promise<Buffer> {
  const seat = idle.pop() ?? (await startSeat());
  if (!seat) return drawHere(kind, views);
  clearTimeout(seat.idleTimer);
  seat.worker.ref();
  const request: PaperRequest = { kind, views };
  seat.worker.postMessage(request);
  const reply = await replyOf(seat.worker, JOB_MS);
  if (!reply || 'ready' in reply) {
    await endSeat(seat);
    throw unavailable('papers_failed', 'The papers could not be drawn; try fewer at a time', 5);
  }
  restSeat(seat);
  if ('pdf' in reply) return Buffer.from(reply.pdf.buffer, reply.pdf.byteOffset, reply.pdf.byteLength);
  const { message, refusal } = reply.failure;
  throw refusal ? new AppError(refusal.kind, refusal.code, message) : new Error(message);
}

/** Loaded only here: fonts and drawing take 30 MB that a process whose workers start never needs. */
async function drawHere<K extends PaperKind>(kind: K, views: PaperViews[K]): Promise<Buffer> {
  const { renderPaper } = await import('./render.ts');
  return renderPaper(kind, views);
}

/** A worker that said it is ready; undefined when it could not start, which the caller makes up for. */
async function startSeat(): Promise<Seat | undefined> {
  const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MB };
  const worker = FROM_SOURCE
    ? new Worker(SOURCE_THREAD, { resourceLimits, eval: true })
    : new Worker(THREAD_FILE, { resourceLimits });
  const seat: Seat = { worker };
  // Without a listener of its own a worker's error would end the whole process.
  worker.on('error', () => undefined).on('exit', () => forget(seat));
  const reply = await replyOf(worker, START_MS);
  if (reply && 'ready' in reply) return seat;
  await endSeat(seat);
  return undefined;
}

function restSeat(seat: Seat): void {
  seat.worker.unref();
  idle.push(seat);
  seat.idleTimer = setTimeout(() => {
    forget(seat);
    void endSeat(seat);
  }, IDLE_MS);
  seat.idleTimer.unref();
}

function forget(seat: Seat): void {
  const index = idle.indexOf(seat);
  if (index >= 0) idle.splice(index, 1);
}

async function endSeat(seat: Seat): Promise<void> {
  clearTimeout(seat.idleTimer);
  await seat.worker.terminate();
}

/** The next message of a worker; undefined when it dies or stays silent for `limitMs`. */
function replyOf(worker: Worker, limitMs: number): Promise<PaperReply | undefined> {
  return new Promise((resolve) => {
    const settle = (reply?: PaperReply) => {
      clearTimeout(timer);
      worker.off('message', settle).off('error', died).off('exit', died);
      resolve(reply);
    };
    const died = () => settle();
    const timer = setTimeout(died, limitMs);
    worker.on('message', settle).on('error', died).on('exit', died);
  });
}
