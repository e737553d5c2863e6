// Reads the server's /metrics: the subset of the Prometheus text format that it uses.
import { config } from './config.js';
import { get, requestParams } from './http.js';

const PREFIX = 'oauth2_server_';

// Counters, each with the label to group by.
const COUNTERS = {
  oauth_token_issued_total: 'format',
  oauth_token_revoked_total: 'kind',
  oauth_introspections_total: 'active',
  token_commit_batch_size_sum: undefined,
  token_commit_batch_size_count: undefined,
  token_commit_duration_seconds_sum: undefined,
  shed_total: 'reason',
  reject_total: 'reason',
  auth_failures_total: undefined,
  verified_token_cache_total: 'result',
  actor_restarts_total: 'actor',
};

const GAUGES = [
  'process_resident_memory_bytes',
  'process_open_fds',
  'process_start_time_seconds',
  'token_partitions',
  'token_default_partition_rows',
  'revocations_held',
  'clients',
];

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;

// The values that the report needs: few enough for `setup` to hand them to every VU. Undefined if the text is not from
// oauth2_server.
export function parseMetrics(text) {
  const found = { counters: {}, gauges: {}, version: undefined, commit: undefined };
  for (const line of text.split('\n')) {
    if (!line.startsWith(PREFIX)) continue;
    const [, name, labels, value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) continue;
    const short = name.slice(PREFIX.length);
    if (short === 'build_info') {
      found.version = label(labels, 'version');
      found.commit = label(labels, 'commit');
    } else if (GAUGES.includes(short)) {
      found.gauges[short] = Number(value);
    } else if (Object.hasOwn(COUNTERS, short)) {
      const by = COUNTERS[short];
      const group = by === undefined ? 'all' : label(labels, by);
      const groups = found.counters[short] ?? (found.counters[short] = {});
      if (Number(value) !== 0) groups[group] = (groups[group] ?? 0) + Number(value);
    }
  }
  return found.gauges.process_start_time_seconds === undefined ? undefined : found;
}

function label(labels, name) {
  const found = new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels ?? '');
  return found === null ? undefined : found[1];
}

// Scrapes METRICS_URL; undefined if that fails.
export function scrape() {
  if (config.metricsUrl === undefined) return undefined;
  const response = get(config.metricsUrl, requestParams('metrics', 'GET /metrics', 200, {}));
  return response.status === 200 ? parseMetrics(response.body) : undefined;
}

export const sum = (groups) => Object.values(groups ?? {}).reduce((total, one) => total + one, 0);

// The increase of the counters between two scrapes, or `{ reason }` if it cannot be computed.
export function metricsDelta(before, after) {
  if (before === undefined || before === null) return { reason: 'its /metrics could not be read' };
  if (after === undefined) return { reason: 'its /metrics could not be read at the end' };
  if (before.gauges.process_start_time_seconds !== after.gauges.process_start_time_seconds) {
    return { reason: 'the first and the last scrape reached different processes: a restart, or several nodes behind METRICS_URL' };
  }
  const counters = {};
  for (const name of Object.keys(COUNTERS)) {
    counters[name] = {};
    for (const [group, value] of Object.entries(after.counters[name] ?? {})) {
      const increase = value - ((before.counters[name] ?? {})[group] ?? 0);
      if (increase !== 0) counters[name][group] = increase;
    }
  }
  return { counters, before: before.gauges, after: after.gauges };
}
