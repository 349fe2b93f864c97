import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const registry = new Registry();

const HTTP_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5];

const httpDuration = new Histogram({
  name: 'dakiya_http_request_duration_seconds',
  help: 'Time from the first byte of a request to its answer',
  labelNames: ['method', 'route', 'status'],
  buckets: HTTP_SECONDS,
  registers: [registry],
});

const transactionAttempts = new Histogram({
  name: 'dakiya_transaction_attempts',
  help: 'How often the body of a transaction ran until it committed or gave up',
  labelNames: ['outcome'],
  buckets: [1, 2, 3, 5, 8, 13],
  registers: [registry],
});

const laneBatch = new Histogram({
  name: 'dakiya_lane_batch_size',
  help: 'Requests that one group commit carried',
  labelNames: ['lane'],
  buckets: [1, 2, 4, 8, 16, 32, 64],
  registers: [registry],
});

const laneQueue = new Gauge({
  name: 'dakiya_lane_queue_length',
  help: 'Requests that wait for a lane',
  labelNames: ['lane'],
  registers: [registry],
});

const jobDuration = new Histogram({
  name: 'dakiya_job_duration_seconds',
  help: 'Time of one attempt of a background job',
  labelNames: ['job', 'outcome'],
  buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60],
  registers: [registry],
});

const jobsWaiting = new Gauge({
  name: 'dakiya_jobs',
  help: 'Background jobs by state',
  labelNames: ['state'],
  registers: [registry],
});

const outboxAge = new Gauge({
  name: 'dakiya_outbox_age_seconds',
  help: 'Age of the oldest event that a consumer has not seen',
  labelNames: ['consumer'],
  registers: [registry],
});

const slowQueries = new Counter({
  name: 'dakiya_db_slow_queries_total',
  help: 'Database commands that took longer than SLOW_QUERY_MS',
  labelNames: ['collection', 'command'],
  registers: [registry],
});

const refusals = new Counter({
  name: 'dakiya_rate_limited_total',
  help: 'Calls refused by a rate limit',
  labelNames: ['limit'],
  registers: [registry],
});

const securityEvents = new Counter({
  name: 'dakiya_security_events_total',
  help: 'Security events by kind and severity',
  labelNames: ['type', 'severity'],
  registers: [registry],
});

const auditChainLag = new Gauge({
  name: 'dakiya_audit_chain_lag_seconds',
  help: 'Age of the oldest audit row that the chain has not linked',
  registers: [registry],
});

interface Observer {
  observe(value: number): void;
}

const MAX_CHILDREN = 2_000;
const httpChildren = new Map<string, Map<number, Observer>>();

/** The child of a label set is looked up once: prom-client builds and checks the label object on every `labels` call. */
function httpChild(method: string, route: string, status: number): Observer {
  const key = `${method} ${route}`;
  let byStatus = httpChildren.get(key);
  if (!byStatus) {
    byStatus = new Map();
    if (httpChildren.size < MAX_CHILDREN) httpChildren.set(key, byStatus);
  }
  let child = byStatus.get(status);
  if (!child) {
    child = httpDuration.labels(method, route, String(status));
    byStatus.set(status, child);
  }
  return child;
}

/** Where the service counts what it does. Label values are names from the code (a route's pattern, a job's name), never ids. */
export const metrics = {
  /** One answered request; `route` is the declared path, `unmatched` for none. */
  httpRequest(method: string, route: string, status: number, seconds: number): void {
    httpChild(method, route, status).observe(seconds);
  },
  /** One transaction that ended. */
  transaction(outcome: 'committed' | 'refused' | 'failed', attempts: number): void {
    transactionAttempts.labels(outcome).observe(attempts);
  },
  /** One group commit, and how many still wait behind it. */
  laneBatch(lane: string, size: number, waiting: number): void {
    laneBatch.labels(lane).observe(size);
    laneQueue.labels(lane).set(waiting);
  },
  /** One attempt of a job. */
  job(name: string, outcome: 'done' | 'retry' | 'dead', seconds: number): void {
    jobDuration.labels(name, outcome).observe(seconds);
  },
  /** How many jobs are in a state now. */
  jobs(state: string, count: number): void {
    jobsWaiting.labels(state).set(count);
  },
  /** How far a consumer of the outbox is behind. */
  outboxAge(consumer: string, seconds: number): void {
    outboxAge.labels(consumer).set(seconds);
  },
  /** A database command above the limit. */
  slowQuery(collection: string, command: string): void {
    slowQueries.labels(collection, command).inc();
  },
  /** How far the audit chain is behind. */
  auditChainLag(seconds: number): void {
    auditChainLag.set(seconds);
  },
  /** Something that matters for safety: failed sign-ins, reveals, exports, changed keys. */
  securityEvent(type: string, severity: string, count = 1): void {
    securityEvents.labels(type, severity).inc(count);
  },
  /** A call that met its limit. */
  rateLimited(limit: string): void {
    refusals.labels(limit).inc();
  },
};

/** Adds the process's own figures (heap, event loop, CPU) to the registry; call once, at start. */
export function measureProcess(): void {
  collectDefaultMetrics({ register: registry, prefix: 'dakiya_' });
}

/** Everything counted so far, in Prometheus' text form. */
export async function metricsText(): Promise<string> {
  return await registry.metrics();
}

/** The content type that goes with `metricsText`. */
export const METRICS_CONTENT_TYPE: string = registry.contentType;
