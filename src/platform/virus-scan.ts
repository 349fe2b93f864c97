import { connect } from 'node:net';
import { makeBreaker } from './breaker.ts';
import { AppError, unavailable } from './errors.ts';
import { runtime } from './runtime.ts';

export type ScanResult = 'clean' | 'infected' | 'not_scanned';

const CHUNK_BYTES = 65_536;
const MAX_REPLY_BYTES = 4_096;

const breaker = makeBreaker({ name: 'virus scanner', refusal: (seconds) => scannerRefusal(seconds) });

/**
 * Shows bytes to the ClamAV daemon of CLAMAV_URL (INSTREAM over TCP); `not_scanned` without one. 503 `scanner_unavailable`
 * when it is away, late, or answers anything but clean or infected: what was not looked at must not be kept.
 */
export async function scanForViruses(bytes: Buffer): Promise<ScanResult> {
  const { clamavUrl, clamavTimeoutMs } = runtime().config;
  if (clamavUrl === undefined) return 'not_scanned';
  let reply: string;
  try {
    reply = await breaker.run(() => askDaemon(new URL(clamavUrl), bytes, clamavTimeoutMs));
  } catch (error) {
    throw scannerUnavailable(error);
  }
  if (/^stream: OK$/.test(reply)) return 'clean';
  const signature = /^stream: (.+) FOUND$/.exec(reply)?.[1];
  if (signature === undefined) throw scannerUnavailable(new Error(`The virus scanner answers ${reply.slice(0, 100)}`));
  runtime().log.warn('upload.infected', { signature });
  return 'infected';
}

function scannerUnavailable(error: unknown): AppError {
  runtime().log.error('scanner.unavailable', { error });
  return error instanceof AppError ? error : scannerRefusal(30, error);
}

function scannerRefusal(retryAfterSeconds: number, cause?: unknown): AppError {
  return unavailable('scanner_unavailable', 'The virus scanner does not answer; try again later', retryAfterSeconds, cause);
}

/** Frames of INSTREAM: a length of four bytes, then so many; a length of zero ends. The reply ends with a zero byte. */
function* framesOf(bytes: Buffer): Generator<Buffer> {
  yield Buffer.from('zINSTREAM\0');
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(chunk.length);
    yield length;
    yield chunk;
  }
  yield Buffer.alloc(4);
}

function askDaemon(url: URL, bytes: Buffer, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 3310) });
    const timer = setTimeout(() => socket.destroy(new Error('The virus scanner took too long')), timeoutMs);
    let reply = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      for (const frame of framesOf(bytes)) socket.write(frame);
    });
    socket.on('data', (part: string) => {
      reply += part;
      if (reply.includes('\0') || reply.length > MAX_REPLY_BYTES) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      const end = reply.indexOf('\0');
      if (end >= 0) resolve(reply.slice(0, end));
      else reject(new Error('The virus scanner closed the connection without an answer'));
    });
  });
}
