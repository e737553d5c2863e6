// Scrapes the server's metrics under load and records them as k6 metrics, which have thresholds.
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { plan, warmUp } from '../lib/plan.js';
import { scrape, sum } from '../lib/prometheus.js';

const scrapes = new Rate('scrapes');
const sheds = new Counter('server_sheds');
const restarts = new Counter('server_restarts');
const rss = new Trend('server_rss_bytes');
const growth = new Trend('server_rss_growth');
const fds = new Trend('server_open_fds');
const fdsGrowth = new Trend('server_fds_growth');
const partitions = new Trend('server_partitions');
const strayRows = new Trend('server_default_partition_rows');

// Values of earlier scrapes by this scenario's only VU.
const seen = {};

export function scrapeAndRecord(data) {
  const now = scrape();
  scrapes.add(now !== undefined);
  if (now === undefined) return;
  const { gauges } = now;

  const started = gauges.process_start_time_seconds;
  if (seen.started !== undefined && seen.started !== started) {
    restarts.add(1);
    delete seen.base;
    delete seen.sheds;
  }
  seen.started = started;

  const shed = sum(now.counters.shed_total);
  const before = seen.sheds ?? (data.before ? sum(data.before.counters.shed_total) : shed);
  // Adds 0 as well, so that the metric exists. After a restart the counter begins at 0.
  sheds.add(Math.max(0, shed - before));
  seen.sheds = shed;

  rss.add(gauges.process_resident_memory_bytes);
  fds.add(gauges.process_open_fds);
  partitions.add(gauges.token_partitions);
  strayRows.add(gauges.token_default_partition_rows);
  // During the warm-up memory and connections grow because caches and pools fill.
  if (seen.warm === undefined) seen.warm = exec.scenario.startTime + warmUp(plan().length) * 1000;
  if (Date.now() < seen.warm) return;
  if (seen.base === undefined) seen.base = gauges;
  growth.add(gauges.process_resident_memory_bytes / seen.base.process_resident_memory_bytes - 1);
  fdsGrowth.add(gauges.process_open_fds - seen.base.process_open_fds);
}
