import { strict as assert } from 'node:assert';
import { METRICS_CONTENT_TYPE, measureProcess, metrics, metricsText } from '../../src/platform/metrics.ts';

describe('metrics', () => {
  it('count what they are told, in the text form of Prometheus', async () => {
    metrics.httpRequest('GET', '/v1/test-route/:id', 200, 0.004);
    metrics.httpRequest('GET', '/v1/test-route/:id', 200, 0.004);
    metrics.httpRequest('GET', '/v1/test-route/:id', 404, 0.2);
    metrics.transaction('committed', 1);
    metrics.laneBatch('test', 40, 7);
    metrics.job('test.job', 'dead', 2);
    metrics.jobs('test', 3);
    metrics.outboxAge('test', 1.5);
    metrics.slowQuery('test', 'find');
    metrics.rateLimited('test');
    const text = await metricsText();
    for (const expected of [
      'dakiya_http_request_duration_seconds_count{method="GET",route="/v1/test-route/:id",status="200"} 2',
      'dakiya_http_request_duration_seconds_bucket{le="0.1",method="GET",route="/v1/test-route/:id",status="404"} 0',
      'dakiya_lane_batch_size_sum{lane="test"} 40',
      'dakiya_lane_queue_length{lane="test"} 7',
      'dakiya_job_duration_seconds_count{job="test.job",outcome="dead"} 1',
      'dakiya_jobs{state="test"} 3',
      'dakiya_outbox_age_seconds{consumer="test"} 1.5',
      'dakiya_db_slow_queries_total{collection="test",command="find"} 1',
      'dakiya_rate_limited_total{limit="test"} 1',
    ]) {
      assert(text.includes(expected), `${expected}\n${text}`);
    }
    assert.match(METRICS_CONTENT_TYPE, /^text\/plain/);
  });

  it('measure the process when asked', async () => {
    measureProcess();
    assert.match(await metricsText(), /dakiya_process_resident_memory_bytes \d+/);
  });
});
