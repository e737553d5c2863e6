// Rates, durations and limits of every profile: data, nothing else.
//
// order      "together": all scenarios at once; "one by one": each after the other, so that no figure is another's doing
// duration   of each scenario (of each step, in a profile with steps)
// clients    registered for each token format in use
// rates      scenarios that the profile runs, with their iterations a second. `herd` comes in bursts and `watch` in
//            intervals: theirs is the time between two
// limits     what must hold: errors and dropped as shares, p95 and p99 in milliseconds
// shape      stages of a ramp: the share of the duration that each takes, the multiple of the rate that it goes to, and
//            the name of the phase, which may have limits of its own
// steps      a staircase: how many, and by what factor each is higher than the one before
// In a function, so that not every VU holds all of it.
export const profiles = () => ({
  // Seconds. Is every answer right? The limits on time are for a debug build on a busy machine.
  smoke: {
    order: 'together',
    duration: '8s',
    clients: 10,
    limits: { errors: 0, dropped: 0.1, p95: 5000, p99: 10000 },
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

  // Minutes. Does the expected load hold, scenario by scenario?
  load: {
    order: 'one by one',
    duration: '60s',
    clients: 100,
    limits: { errors: 0.001, dropped: 0.01, p95: 100, p99: 250 },
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

  // Four times the expected load, and back. It may turn requests away, it must not break, and it must recover.
  stress: {
    order: 'one by one',
    duration: '5m',
    clients: 100,
    limits: { errors: 0.05, dropped: 0.05, p95: 1000, p99: 2000 },
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
    order: 'one by one',
    duration: '2m',
    clients: 100,
    limits: { errors: 0.1, dropped: 0.1, p95: 2000, p99: 5000 },
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

  // Seconds, a rate that slow servers make too. How long do answers take? For servers beside each other, see `peers/`; there
  // any error or dropped iteration spoils the figures.
  compare: {
    order: 'one by one',
    duration: '5s',
    clients: 1,
    limits: { errors: 0, dropped: 0, p95: 60000, p99: 60000 },
    rates: { client_credentials: 100, introspect: 100 },
  },

  // An hour or more. Does anything grow that should not?
  soak: {
    order: 'together',
    duration: '1h',
    clients: 100,
    limits: { errors: 0.0001, dropped: 0.001, p95: 100, p99: 250, growth: 0.2, fds: 200, sheds: 0 },
    rates: { mix: 200, watch: '10s' },
  },

  // Steps upwards until something gives. Ends with 99 when it found the end.
  breakpoint: {
    order: 'one by one',
    duration: '15s',
    clients: 100,
    limits: { errors: 0.01, dropped: 0.01, p95: 250, p99: 500 },
    rates: { client_credentials_paseto: 100 },
    steps: { count: 18, factor: 1.25 },
  },
});

// What the mix is made of, in hundredths. It is a guess at a platform whose clients cache their tokens and whose APIs
// verify most of them offline: issuing is what such a server is there for; introspection is what is left of the APIs that
// must see revocations; keys are fetched every few minutes by every instance of every API; a revocation is rare, but each
// is a write that all nodes must learn of.
export const MIX = { token: 60, introspect: 24, introspect_batch: 2, revoke: 2, keys: 10, metadata: 2 };
