// Reads the server's /metrics: the Prometheus text format, as far as it is needed here.
import { config } from './config.js';
import { get, parameters } from './http.js';

const P = 'oauth2_server_';

// Counters, each with the label that its parts are told by.
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

// The few figures that the report needs, small enough to be handed from `setup` to every VU.
export function digest(text) {
  const found = { counters: {}, gauges: {}, version: undefined, commit: undefined };
  for (const line of text.split('\n')) {
    if (!line.startsWith(P)) continue;
    const [, name, labels, value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) continue;
    const short = name.slice(P.length);
    if (short === 'build_info') {
      found.version = label(labels, 'version');
      found.commit = label(labels, 'commit');
    } else if (GAUGES.includes(short)) {
      found.gauges[short] = Number(value);
    } else if (Object.hasOwn(COUNTERS, short)) {
      const by = COUNTERS[short];
      const part = by === undefined ? 'all' : label(labels, by);
      const parts = found.counters[short] ?? (found.counters[short] = {});
      if (Number(value) !== 0) parts[part] = (parts[part] ?? 0) + Number(value);
    }
  }
  // Something answers there, but it is not this server.
  return found.gauges.process_start_time_seconds === undefined ? undefined : found;
}

function label(labels, name) {
  const found = new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels ?? '');
  return found === null ? undefined : found[1];
}

// The figures of this moment; undefined where they cannot be had.
export function scrape() {
  if (config.metricsUrl === undefined) return undefined;
  const response = get(config.metricsUrl, parameters('metrics', 'GET /metrics', 200, {}));
  return response.status === 200 ? digest(response.body) : undefined;
}

export const sum = (parts) => Object.values(parts ?? {}).reduce((all, one) => all + one, 0);

// What happened between two scrapes, or why that cannot be said.
export function difference(before, after) {
  if (before === undefined || before === null) return { why: 'its /metrics could not be read' };
  if (after === undefined) return { why: 'its /metrics could not be read at the end' };
  if (before.gauges.process_start_time_seconds !== after.gauges.process_start_time_seconds) {
    return { why: 'another process answered at the end than at the start: a restart, or several nodes behind METRICS_URL' };
  }
  const counters = {};
  for (const name of Object.keys(COUNTERS)) {
    counters[name] = {};
    for (const [part, value] of Object.entries(after.counters[name] ?? {})) {
      const grown = value - ((before.counters[name] ?? {})[part] ?? 0);
      if (grown !== 0) counters[name][part] = grown;
    }
  }
  return { counters, before: before.gauges, after: after.gauges };
}
