import { strict as assert } from 'node:assert';
import { EventEmitter } from 'node:events';
import { makeShutdown, type Shutdown } from '../../src/platform/shutdown.ts';

interface Seen {
  exits: number[];
  events: string[];
  shutdown: Shutdown;
}

function make(graceMs = 60_000, sameWishMs = 0): Seen {
  const exits: number[] = [];
  const events: string[] = [];
  const note = (event: string, fields?: Record<string, unknown>): void => void events.push(`${event} ${String(fields?.['how'] ?? fields?.['step'] ?? '')}`.trim());
  const shutdown = makeShutdown({ graceMs, sameWishMs, exit: (code) => void exits.push(code), log: { info: note, error: note } });
  return { exits, events, shutdown };
}

const forever = (): Promise<void> => new Promise(() => undefined);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('shutdown', () => {
  it('runs the stages in order, whatever the order of registration, then exits 0 once', async () => {
    const { shutdown, exits, events } = make();
    const ran: string[] = [];
    const step = (name: string) => async (): Promise<void> => {
      ran.push(`${name} begins`);
      await turn();
      ran.push(`${name} ends`);
    };
    shutdown.on('closeConnections', 'database', step('database'));
    shutdown.on('stopJobs', 'worker', step('worker'));
    shutdown.on('stopAccepting', 'server', step('server'));
    shutdown.on('finishRequests', 'requests', step('requests'));
    assert.equal(shutdown.isEnding(), false);
    const code = shutdown.begin('SIGTERM');
    assert.equal(shutdown.isEnding(), true);
    assert.equal(await code, 0);
    assert.deepEqual(ran, ['server', 'requests', 'worker', 'database'].flatMap((name) => [`${name} begins`, `${name} ends`]));
    assert.deepEqual(exits, [0]);
    assert.deepEqual(events, ['shutdown.begun', 'shutdown.ended drained']);
  });

  it('runs the steps of one stage together', async () => {
    const { shutdown } = make();
    let release: () => void = () => undefined;
    const first = new Promise<void>((resolve) => {
      release = resolve;
    });
    shutdown.on('stopJobs', 'waits for the other', () => first);
    shutdown.on('stopJobs', 'the other', () => release());
    assert.equal(await shutdown.begin('SIGTERM'), 0);
  });

  it('a step that fails is logged, the rest still runs, and the exit code is 1', async () => {
    const { shutdown, exits, events } = make();
    let closed = false;
    shutdown.on('stopAccepting', 'server', () => {
      throw new Error('no');
    });
    shutdown.on('closeConnections', 'database', () => {
      closed = true;
    });
    assert.equal(await shutdown.begin('SIGTERM'), 1);
    assert.equal(closed, true);
    assert.deepEqual(exits, [1]);
    assert.deepEqual(events, ['shutdown.begun', 'shutdown.step_failed server', 'shutdown.ended step_failed']);
  });

  it('exits 1 when the grace is over', async () => {
    const { shutdown, exits, events } = make(1);
    shutdown.on('finishRequests', 'hangs', forever);
    assert.equal(await shutdown.begin('SIGTERM'), 1);
    assert.deepEqual(exits, [1]);
    assert.equal(events.at(-1), 'shutdown.ended grace_over');
  });

  it('a second signal forces, whichever it is', async () => {
    const { shutdown, exits, events } = make();
    const source = new EventEmitter();
    const unfollow = shutdown.followSignals(source);
    let began = 0;
    shutdown.on('finishRequests', 'hangs', () => {
      began += 1;
      return forever();
    });
    source.emit('SIGTERM');
    await turn();
    assert.deepEqual([began, exits], [1, []]);
    source.emit('SIGINT');
    assert.deepEqual(exits, [1]);
    source.emit('SIGTERM');
    assert.deepEqual(exits, [1]);
    assert.equal(events.at(-1), 'shutdown.ended forced');
    unfollow();
    assert.equal(source.listenerCount('SIGTERM') + source.listenerCount('SIGINT'), 0);
  });

  it('takes two signals at once for one: Ctrl-C under npm arrives twice', async () => {
    const { shutdown, exits } = make(60_000, 60_000);
    const source = new EventEmitter();
    const unfollow = shutdown.followSignals(source);
    shutdown.on('finishRequests', 'hangs', forever);
    source.emit('SIGINT');
    source.emit('SIGINT');
    await turn();
    assert.deepEqual(exits, []);
    unfollow();
    assert.equal(await shutdown.begin('the test ends it'), 1);
  });

  it('keeps the exit code of a fault that began it', async () => {
    const { shutdown, exits } = make();
    assert.equal(await shutdown.begin('uncaughtException', 70), 70);
    assert.deepEqual(exits, [70]);
  });
});
