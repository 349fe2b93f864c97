import { STATUS_CODES, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { nowMs } from './clock.ts';
import { newRequestId } from './ids.ts';

interface Refusal {
  status: number;
  code: string;
  message: string;
}

/** What the parser's error code means to the caller. */
function refusalOf(code: string | undefined): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW') return { code: 'headers_too_large', message: 'The address and headers of a request may have 16 KiB at most', status: 431 };
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return { code: 'request_timeout', message: 'The request did not arrive in time', status: 408 };
  return { code: 'malformed_request', message: 'This is not an HTTP request that can be read', status: 400 };
}

/**
 * Requests that the HTTP parser cannot read never reach the application: they get the contract's error and headers here,
 * and their connection ends. Node's own answer has neither body nor headers.
 */
export function answerUnreadable(server: Server, headers: Readonly<Record<string, string>>): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex & { _httpMessage?: ServerResponse | null }) => {
    // An answer that has begun cannot be followed by another one.
    if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent === true) {
      socket.destroy(error);
      return;
    }
    const { status, code, message } = refusalOf(error.code);
    const requestId = newRequestId();
    const body = JSON.stringify({ error: { code, message, statusCode: status, requestId, timestamp: new Date(nowMs()).toISOString(), path: '' } });
    const lines = Object.entries({ ...headers, 'X-Request-Id': requestId, 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' });
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
  });
}
