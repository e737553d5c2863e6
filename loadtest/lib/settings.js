// The settings of a run: environment variables and profile, validated.
import { clientLimits } from './client_limits.js';
import { number, text, time, whole } from './env.js';
import { fail } from './failure.js';
import { profiles } from './profiles.js';
import { access, requiredFormats, selectScenarios } from './selection.js';

// The longest run: a week.
const LONGEST = 604800;

// A scenario that the profile does not contain runs at the rate of the profile's first scenario.
function rateOf(name, profile) {
  const inProfile = [profile.rates[name], ...Object.values(profile.rates)].find((rate) => typeof rate === 'number');
  return number('RATE', inProfile, 0.01, 1e6);
}

function phaseThresholds(phase) {
  const variable = { errors: 'ERRORS_MAX', p95: 'P95_MAX', p99: 'P99_MAX' };
  return Object.fromEntries(Object.entries(phase).map(([name, most]) => [name, number(variable[name], most, 0, 1e6)]));
}

export function read() {
  const known = profiles();
  const profileName = text('PROFILE') ?? 'smoke';
  const profile = Object.hasOwn(known, profileName)
    ? known[profileName]
    : fail(`PROFILE must be one of ${Object.keys(known).join(', ')}, not ${profileName}`);
  const to = access();
  const own = to.adminToken !== undefined;
  const { names, leftOut } = selectScenarios(profileName, profile, to);
  const clients = whole('CLIENTS', profile.clients, 1, 100000);
  const { thresholds } = profile;
  const duration = time('DURATION', profile.duration, 1, LONGEST);
  const rates = Object.fromEntries(names.map((name) => [name, rateOf(name, profile)]));

  const found = {
    profile: profileName,
    order: profile.order,
    shape: profile.shape,
    ...to,
    // Whether clients are registered for the run.
    own,
    names,
    leftOut,
    runId: text('RUN_ID'),
    clients,
    formats: requiredFormats(names, to),
    duration,
    timeout: time('TIMEOUT', '5s', 0.1, 60),
    rates,
    ...clientLimits(names, rates, duration),
    herd: whole('HERD', Math.min(clients, 500), 1, 20000),
    herdPeriod: time('HERD_PERIOD', profile.rates.herd ?? '5s', 0.1, 3600),
    watchPeriod: time('WATCH_PERIOD', profile.rates.watch ?? '5s', 0.5, 3600),
    warmUp: time('WARM_UP', undefined, 0, LONGEST),
    batchSize: whole('BATCH_SIZE', 20, 3, 1000),
    pool: whole('POOL', 60, 3, 1000),
    lifetime: whole('TOKEN_LIFETIME', undefined, 10, 2592000),
    revokeDelay: time('REVOKE_DELAY', '0', 0, 60),
    settle: time('SETTLE', text('LOADTEST_STARTED') === undefined ? '2s' : '0', 0, 60),
    vus: whole('VUS_MAX', 2000, 1, 100000),
    steps: profile.steps && {
      count: whole('STEPS', profile.steps.count, 1, 200),
      factor: number('STEP_FACTOR', profile.steps.factor, 1.01, 10),
    },
    thresholds: {
      errors: number('ERRORS_MAX', thresholds.errors, 0, 1),
      dropped: number('DROPPED_MAX', thresholds.dropped, 0, 1),
      p95: number('P95_MAX', thresholds.p95, 0, 1e6),
      p99: number('P99_MAX', thresholds.p99, 0, 1e6),
      growth: number('RSS_GROWTH_MAX', thresholds.growth, 0, 1000),
      fds: number('FDS_GROWTH_MAX', thresholds.fds, 0, 1e6),
      sheds: number('SHEDS_MAX', thresholds.sheds, 0, 1e9),
    },
    phases: Object.fromEntries(Object.keys(profile.phases ?? {}).map((phase) => [phase, phaseThresholds(profile.phases[phase])])),
  };

  if (found.runId !== undefined && !/^[a-z0-9-]{4,40}$/.test(found.runId)) {
    fail('RUN_ID must be 4 to 40 characters of a-z 0-9 and -');
  }
  found.shown = shown(found);
  return found;
}

// The variables of an external server.
function externalVariables({ endpoints, auth, introspectionClient }) {
  return {
    TOKEN_URL: endpoints.token,
    INTROSPECT_URL: endpoints.introspect,
    REVOKE_URL: endpoints.revoke,
    CLIENT_AUTH: auth.token,
    INTROSPECT_AUTH: auth.introspect,
    INTROSPECT_CLIENT_ID: introspectionClient && introspectionClient.id,
    TOKEN_FORM: text('TOKEN_FORM'),
    INTROSPECT_FORM: text('INTROSPECT_FORM'),
  };
}

// The configuration in the report: all effective variables except secrets.
function shown(found) {
  const { names, thresholds } = found;
  const of = (name, value) => (names.includes(name) ? value : undefined);
  return {
    PROFILE: found.profile,
    SCENARIOS: names.join(' '),
    BASE_URL: found.baseUrl,
    ...(found.external ? externalVariables(found) : {}),
    ADMIN_URL: found.adminUrl,
    METRICS_URL: found.metricsUrl,
    CLIENT_ID: found.client && found.client.id,
    RUN_ID: found.runId,
    CLIENTS: found.own ? found.clients : undefined,
    RATE: text('RATE'),
    DURATION: `${found.duration}s`,
    TIMEOUT: `${found.timeout}s`,
    HERD: of('herd', found.herd),
    HERD_PERIOD: of('herd', `${found.herdPeriod}s`),
    WATCH_PERIOD: of('watch', `${found.watchPeriod}s`),
    LIMITED: ['limits', 'quotas', 'auth_failures'].some((name) => names.includes(name)) ? found.limited : undefined,
    NODES: found.nodes,
    QUOTA: of('quotas', found.quota),
    AUTH_FAILURES: of('auth_failures', found.failures),
    BATCH_SIZE: found.batchSize,
    POOL: found.pool,
    TOKEN_LIFETIME: found.lifetime,
    REVOKE_DELAY: `${found.revokeDelay}s`,
    SETTLE: `${found.settle}s`,
    VUS_MAX: found.vus,
    STEPS: found.steps && found.steps.count,
    STEP_FACTOR: found.steps && found.steps.factor,
    ERRORS_MAX: thresholds.errors,
    DROPPED_MAX: thresholds.dropped,
    P95_MAX: thresholds.p95,
    P99_MAX: thresholds.p99,
    RSS_GROWTH_MAX: thresholds.growth,
    FDS_GROWTH_MAX: thresholds.fds,
    SHEDS_MAX: thresholds.sheds,
    STORE: text('LOADTEST_STORE'),
  };
}
