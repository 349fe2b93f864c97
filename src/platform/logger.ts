import type { Writable } from 'node:stream';
import winston from 'winston';
import { nowMs } from './clock.ts';
import { cleanedJson, type LogFields } from './logger.redact.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** `log.info('order.created', { orderId })`: a fixed event name and fields, never a sentence with values in it. */
export interface Log {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  child(fields: LogFields): Log;
  /** Resolves when the lines so far are handed to the stream; to be awaited before the process exits. */
  flush(): Promise<void>;
}

const LEVELS = { error: 0, warn: 1, info: 2, debug: 3 };
const MAX_LINE = 16_384;
/** What may wait for a slow reader of the log; beyond it lines are dropped and counted, for memory is not endless. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/**
 * A logger of JSON lines (`time`, `level`, `event`, then the call's fields) to `stream`, default stdout.
 * Secrets and personal data are replaced by `[hidden]` at any depth; a line is bounded in depth and size; logging
 * never throws. A reader that has gone away, or is 8 MiB behind, costs lines and nothing else: `log.dropped` says how many
 * once he has caught up. A request line with eight flat fields costs about 5 µs.
 */
export function makeLogger(options: { level: LogLevel; stream?: Writable }): Log {
  const stream = options.stream ?? process.stdout;
  const sink = winston.createLogger({
    levels: LEVELS,
    level: options.level,
    format: winston.format((info) => info)(),
    transports: [new winston.transports.Stream({ stream, eol: '\n' })],
    exitOnError: false,
  });
  const enabled = LEVELS[options.level];
  watchReader(stream);
  let dropped = 0;
  let corked = false;
  const put = (level: LogLevel, event: string, text: string): void => {
    // Lines of one turn go out together: a write of its own for each is a tenth of what a small request costs.
    if (!corked) {
      corked = true;
      stream.cork();
      setImmediate(() => {
        corked = false;
        stream.uncork();
      });
    }
    sink.write({ level, [LEVEL]: level, message: event, [MESSAGE]: text });
  };

  function logWith(base: LogFields | undefined): Log {
    const write = (level: LogLevel, event: string, fields: LogFields | undefined): void => {
      if (LEVELS[level] > enabled) return;
      if (gone.has(stream) || stream.writableLength > MAX_WAITING_BYTES) {
        dropped += 1;
        return;
      }
      if (dropped > 0) {
        const lines = dropped;
        dropped = 0;
        put('warn', 'log.dropped', line('warn', 'log.dropped', undefined, { lines }));
      }
      put(level, event, line(level, event, base, fields));
    };
    return {
      error: (event, fields) => write('error', event, fields),
      warn: (event, fields) => write('warn', event, fields),
      info: (event, fields) => write('info', event, fields),
      debug: (event, fields) => write('debug', event, fields),
      child: (fields) => logWith({ ...base, ...fields }),
      flush: () => new Promise((resolve) => setImmediate(() => (gone.has(stream) ? resolve() : stream.write('', () => resolve())))),
    };
  }
  return logWith(undefined);
}

const watched = new WeakSet<Writable>();
const gone = new WeakSet<Writable>();

/** Without a listener the error of a closed pipe is an uncaught one, whose log line is the next error, without end. */
function watchReader(stream: Writable): void {
  if (watched.has(stream)) return;
  watched.add(stream);
  stream.on('error', () => gone.add(stream));
}

const LEVEL: unique symbol = Symbol.for('level');
const MESSAGE: unique symbol = Symbol.for('message');

function line(level: LogLevel, event: string, base: LogFields | undefined, fields: LogFields | undefined): string {
  const head = { time: new Date(nowMs()).toISOString(), level, event };
  try {
    const whole = cleanedJson(head, base, fields);
    if (whole.length <= MAX_LINE) return whole;
    return `${cleanedJson(head, base, undefined).slice(0, -1)},"truncated":true,"was":${whole.length},"start":${JSON.stringify(whole.slice(0, 2_000))}}`;
  } catch (error) {
    return JSON.stringify({ ...head, unloggable: error instanceof Error ? error.name : 'unknown' });
  }
}
