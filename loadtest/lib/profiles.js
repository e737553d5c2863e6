// Rates, durations and thresholds of every profile. Data only.
//
// order       "parallel": all scenarios at once; "sequential": one after the other, so that they do not affect each other
// duration    per scenario (per step, in a profile with steps)
// clients     registered per token format in use
// rates       the scenarios of the profile, with iterations per second. For `herd` and `watch`, the period instead
// thresholds  `errors` and `dropped` as shares, `p95` and `p99` in milliseconds; for `watch`, `growth` of memory as a share,
//             `fds` and `sheds` as counts
// shape       the stages of a ramp: `share` of the duration, `to` which multiple of the rate, and `phase`, its name
// phases      thresholds of single phases
// steps       the steps of a breakpoint test: their number, and the factor from one rate to the next
// A function rather than a constant, so that not every VU holds all profiles.
export const profiles = () => ({
  // Seconds. Is every response correct? The latency thresholds allow for a debug build on a busy machine.
  smoke: {
    order: 'parallel',
    duration: '8s',
    clients: 10,
    thresholds: { errors: 0, dropped: 0.1, p95: 5000, p99: 10000 },
    rates: {
      client_credentials_paseto: 20,
      client_credentials_jwt: 20,
      client_credentials_opaque: 20,
      introspect: 20,
      introspect_batch: 5,
      revoke: 5,
      discovery: 10,
      mix: 20,
      herd: '2s',
      bad_secrets: 20,
      limits: 40,
      quotas: 20,
      auth_failures: 40,
      watch: '1s',
    },
  },

  // Minutes. Does the server sustain the expected load, scenario by scenario?
  load: {
    order: 'sequential',
    duration: '60s',
    clients: 100,
    thresholds: { errors: 0.001, dropped: 0.01, p95: 100, p99: 250 },
    rates: {
      client_credentials_paseto: 500,
      client_credentials_jwt: 500,
      client_credentials_opaque: 500,
      introspect: 500,
      introspect_batch: 50,
      revoke: 50,
      discovery: 500,
      mix: 500,
      herd: '5s',
      bad_secrets: 200,
      limits: 200,
      quotas: 50,
      auth_failures: 200,
      watch: '5s',
    },
  },

  // Four times the expected load, and back. Shedding load is allowed; failing to recover is not.
  stress: {
    order: 'sequential',
    duration: '5m',
    clients: 100,
    thresholds: { errors: 0.05, dropped: 0.05, p95: 1000, p99: 2000 },
    rates: { mix: 500, watch: '5s' },
    shape: [
      { phase: 'expected', share: 0.1, to: 1 },
      { phase: 'expected', share: 0.1, to: 1 },
      { phase: 'above', share: 0.1, to: 2 },
      { phase: 'above', share: 0.15, to: 2 },
      { phase: 'above', share: 0.1, to: 4 },
      { phase: 'above', share: 0.15, to: 4 },
      { phase: 'falling', share: 0.1, to: 1 },
      { phase: 'recovered', share: 0.2, to: 1 },
    ],
    phases: { expected: { errors: 0.001, p95: 250 }, recovered: { errors: 0.001, p95: 250 } },
  },

  // Ten times the expected load within seconds, and back.
  spike: {
    order: 'sequential',
    duration: '2m',
    clients: 100,
    thresholds: { errors: 0.1, dropped: 0.1, p95: 2000, p99: 5000 },
    rates: { mix: 200, watch: '5s' },
    shape: [
      { phase: 'before', share: 0.25, to: 1 },
      { phase: 'spike', share: 0.05, to: 10 },
      { phase: 'spike', share: 0.15, to: 10 },
      { phase: 'falling', share: 0.1, to: 1 },
      { phase: 'after', share: 0.45, to: 1 },
    ],
    phases: { before: { errors: 0.001, p95: 250 }, after: { errors: 0.001, p95: 250 } },
  },

  // Seconds, at a rate that slow servers sustain too. For comparing servers, see `peers/`, where any error or dropped
  // iteration invalidates the measurement.
  compare: {
    order: 'sequential',
    duration: '5s',
    clients: 1,
    thresholds: { errors: 0, dropped: 0, p95: 60000, p99: 60000 },
    rates: { client_credentials: 100, introspect: 100 },
  },

  // An hour or more. Does memory or anything else grow without bound?
  soak: {
    order: 'parallel',
    duration: '1h',
    clients: 100,
    thresholds: { errors: 0.0001, dropped: 0.001, p95: 100, p99: 250, growth: 0.2, fds: 200, sheds: 0 },
    rates: { mix: 200, watch: '10s' },
  },

  // Rising rates until a threshold is crossed, which ends the run with 99.
  breakpoint: {
    order: 'sequential',
    duration: '15s',
    clients: 100,
    thresholds: { errors: 0.01, dropped: 0.01, p95: 250, p99: 500 },
    rates: { client_credentials_paseto: 100 },
    steps: { count: 18, factor: 1.25 },
  },
});

// Weights of the mix, in percent. They are an assumption about a platform whose clients cache their tokens and whose APIs
// verify most tokens offline. Issuing dominates; introspection comes from the APIs that must see revocations immediately; every
// API instance fetches the keys every few minutes; revocations are rare, but each is a write that must reach all nodes.
export const MIX = { token: 60, introspect: 24, introspect_batch: 2, revoke: 2, keys: 10, metadata: 2 };
