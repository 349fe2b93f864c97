import { strict as assert } from 'node:assert';
import { makeBreaker, breakerStates, type Breaker } from '../../src/platform/breaker.ts';
import { AppError, conflict, unavailable } from '../../src/platform/errors.ts';
import { openHouse, type House } from './house.ts';

describe('breakers', () => {
  let house: House;
  let breaker: Breaker;
  let calls: number;
  let count = 0;

  before(async () => {
    house = await openHouse();
  });
  after(async () => {
    await house.close();
  });
  beforeEach(() => {
    calls = 0;
    count += 1;
    breaker = makeBreaker({ name: `service ${count}`, refusal: (seconds) => unavailable('service_away', 'The service does not answer', seconds) });
  });

  const call = async (how: 'well' | 'badly' | AppError | 500): Promise<string> =>
    breaker.run(
      () => {
        calls += 1;
        if (how instanceof AppError) return Promise.reject(how);
        return how === 'badly' ? Promise.reject(new Error('ECONNREFUSED')) : Promise.resolve(how === 500 ? 'broken' : 'fine');
      },
      (answer) => answer === 'broken',
    );
  const fail = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) await assert.rejects(call('badly'), /ECONNREFUSED/);
  };
  const isRefused = async (retryAfterSeconds: number): Promise<void> => {
    const before = calls;
    await assert.rejects(call('well'), (error) => error instanceof AppError && error.code === 'service_away' && error.details?.['retryAfterSeconds'] === retryAfterSeconds);
    assert.equal(calls, before, 'no call went out');
  };

  it('opens after five failures in a row, refuses without a call, and says when to come again', async () => {
    await fail(4);
    assert.equal(await call('well'), 'fine');
    await fail(4);
    assert.equal(breaker.state(), 'closed', 'a success between them forgets the failures');
    await fail(1);
    assert.equal(breaker.state(), 'open');
    await isRefused(30);
    house.advance(20_500);
    await isRefused(10);
    assert.equal(breakerStates()[`service ${count}`], 'open');
  });

  it('tries again after thirty seconds and closes after two successes', async () => {
    await fail(5);
    house.advance(30_000);
    assert.equal(breaker.state(), 'half_open');
    assert.equal(await call('well'), 'fine');
    assert.equal(breaker.state(), 'half_open', 'one success is not enough');
    assert.equal(await call('well'), 'fine');
    assert.equal(breaker.state(), 'closed');
    await fail(4);
    assert.equal(breaker.state(), 'closed', 'and counts from nothing again');
  });

  it('opens anew, for the whole time, when the trial fails', async () => {
    await fail(5);
    house.advance(30_000);
    assert.equal(await call('well'), 'fine');
    await fail(1);
    await isRefused(30);
    house.advance(30_000);
    assert.equal(await call('well'), 'fine');
    assert.equal(breaker.state(), 'half_open', 'the success before the failure does not count');
  });

  it('lets one call try at a time', async () => {
    await fail(5);
    house.advance(30_000);
    let end = (): void => undefined;
    const trial = breaker.run(() => new Promise<void>((resolve) => (end = resolve)));
    await isRefused(1);
    end();
    await trial;
    assert.equal(await call('well'), 'fine');
  });

  it('counts answers that are failures, and no refusal that shows that the service is there', async () => {
    for (let n = 0; n < 10; n += 1) await assert.rejects(call(conflict('taken', 'Taken')), { code: 'taken' });
    assert.equal(breaker.state(), 'closed');
    for (let n = 0; n < 5; n += 1) assert.equal(await call(500), 'broken');
    assert.equal(breaker.state(), 'open');
  });

  it('counts nothing for an error that says nothing of the service', async () => {
    const quiet = makeBreaker({ name: 'quiet', refusal: (seconds) => unavailable('quiet_away', 'Away', seconds), isFailure: (error) => (error instanceof TypeError ? undefined : true) });
    const once = (error: Error) => assert.rejects(quiet.run(() => Promise.reject(error)), error);
    for (let n = 0; n < 4; n += 1) await once(new Error('away'));
    await once(new TypeError('the caller went away'));
    await once(new Error('away'));
    assert.equal(quiet.state(), 'open', 'neither a failure nor a success');
  });

  it('is not kept open by a clock that was set back', async () => {
    await fail(5);
    house.advance(-3_600_000);
    assert.equal(breaker.state(), 'half_open');
    house.advance(3_600_000);
  });
});
