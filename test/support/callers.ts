import { Agent, request } from 'node:http';

/** What one call came to: an answer, a refused connection, or a connection that broke after the request was written. */
export type Came = { key: string; to: 'answer'; status: number; id: string | undefined } | { key: string; to: 'refused' | 'broken'; code: string };

export interface Callers {
  /** Everything so far, in the order of its end. */
  came: Came[];
  /** Resolves when every caller has given up, which each does at its first call that is not answered. */
  over: Promise<void>;
  stop(): void;
}

interface Call {
  url: string;
  path: string;
  token: string;
  body: (key: string) => object;
}

/** Callers with connections of their own that they keep, each posting again as soon as it is answered. */
export function startCallers(n: number, call: Call): Callers {
  const agent = new Agent({ keepAlive: true, maxSockets: n });
  const came: Came[] = [];
  let going = true;
  const caller = async (i: number): Promise<void> => {
    for (let turn = 0; going; turn += 1) {
      const outcome = await post(agent, call, `storm-${i}-${turn}`);
      came.push(outcome);
      if (outcome.to !== 'answer') return;
    }
  };
  const over = Promise.all(Array.from({ length: n }, (_, i) => caller(i))).then(() => agent.destroy());
  return { came, over, stop: () => void (going = false) };
}

function post(agent: Agent, { url, path, token, body }: Call, key: string): Promise<Came> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key };
    const sent = request(url + path, { method: 'POST', agent, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (text += part));
      answer.on('end', () => resolve({ key, to: 'answer', status: answer.statusCode ?? 0, id: (JSON.parse(text) as { id?: string }).id }));
      answer.on('error', (error: NodeJS.ErrnoException) => resolve({ key, to: 'broken', code: error.code ?? error.message }));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve({ key, to: error.code === 'ECONNREFUSED' ? 'refused' : 'broken', code: error.code ?? error.message }));
    sent.end(JSON.stringify(body(key)));
  });
}
