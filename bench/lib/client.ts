import { connect, type Socket } from 'node:net';

export interface Reply {
  status: number;
  body: string;
}

interface Waiting {
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

/** A keep-alive connection that does little: the load generator must not be what is measured. */
export interface Connection {
  send(method: string, path: string, options?: { token?: string; body?: string; key?: string }): Promise<Reply>;
  close(): void;
}

/** Opens a connection to a server on loopback. */
export async function open(port: number): Promise<Connection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const s = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(s));
    s.once('error', reject);
  });
  let pending = Buffer.alloc(0);
  let waiting: Waiting | undefined;
  const fail = (error: Error): void => {
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('closed')));
  socket.on('data', (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const reply = parse(pending);
    if (!reply) return;
    pending = pending.subarray(reply.length);
    const done = waiting;
    waiting = undefined;
    done?.resolve({ status: reply.status, body: reply.body });
  });
  return {
    send(method, path, { token, body, key } = {}) {
      const payload = body ?? '';
      const head =
        `${method} ${path} HTTP/1.1\r\nHost: bench\r\n` +
        (token === undefined ? '' : `Authorization: Bearer ${token}\r\n`) +
        (key === undefined ? '' : `Idempotency-Key: ${key}\r\n`) +
        (body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(payload)}\r\n`) +
        '\r\n';
      return new Promise<Reply>((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(head + payload);
      });
    },
    close: () => socket.destroy(),
  };
}

function parse(bytes: Buffer): { status: number; body: string; length: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = bytes.subarray(0, end).toString('latin1');
  const status = Number(head.slice(9, 12));
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  if (length !== undefined) {
    const total = end + 4 + Number(length);
    if (bytes.length < total) return undefined;
    return { status, body: bytes.subarray(end + 4, total).toString('utf8'), length: total };
  }
  if (!/\r\ntransfer-encoding: chunked/i.test(head)) return { status, body: '', length: end + 4 };
  return parseChunks(bytes, end + 4, status);
}

function parseChunks(bytes: Buffer, from: number, status: number): { status: number; body: string; length: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    if (bytes.length < lineEnd + 2 + size + 2) return undefined;
    if (size === 0) return { status, body: Buffer.concat(parts).toString('utf8'), length: lineEnd + 4 };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}

/** A pool of connections, one for each caller. */
export async function openMany(port: number, count: number): Promise<{ use<T>(work: (c: Connection) => Promise<T>): Promise<T>; close(): void }> {
  const free = await Promise.all(Array.from({ length: count }, () => open(port)));
  const all = [...free];
  const queue: ((c: Connection) => void)[] = [];
  return {
    async use(work) {
      const connection = free.pop() ?? (await new Promise<Connection>((resolve) => queue.push(resolve)));
      try {
        return await work(connection);
      } finally {
        const next = queue.shift();
        if (next) next(connection);
        else free.push(connection);
      }
    },
    close: () => all.forEach((c) => c.close()),
  };
}
