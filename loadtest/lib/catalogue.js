// The scenarios and what each requires.
//
// needs        "client"   at least one client; an existing one is enough (CLIENT_ID and CLIENT_SECRET)
//              "clients"  clients registered for the run through the admin API
//              "metrics"  the server's /metrics
//              "nothing"  the public endpoints only
// endpoints    endpoints that not every authorization server has
// nativeOnly   uses endpoints or responses that only oauth2_server has
// pool         needs the token pool, see `pool.js`
// dedicated    the purpose of the clients that only this scenario uses, see `clients.js`
// legitimate   the scenario of legitimate traffic that runs at the same time; it is never selected on its own
export const FORMATS = ['paseto', 'jwt', 'opaque'];

export const SCENARIOS = {
  client_credentials_paseto: { needs: 'clients', format: 'paseto' },
  client_credentials_jwt: { needs: 'clients', format: 'jwt' },
  client_credentials_opaque: { needs: 'clients', format: 'opaque' },
  // For an existing client, in whatever format it is registered with.
  client_credentials: { needs: 'client' },
  introspect: { needs: 'client', endpoints: ['introspect'], pool: true },
  introspect_batch: { needs: 'client', nativeOnly: true, pool: true },
  revoke: { needs: 'client', endpoints: ['introspect', 'revoke'] },
  discovery: { needs: 'nothing', nativeOnly: true },
  mix: { needs: 'client', nativeOnly: true, pool: true },
  herd: { needs: 'clients' },
  bad_secrets: { needs: 'client', legitimate: 'bad_secrets_good' },
  limits: { needs: 'clients', dedicated: 'limited', legitimate: 'limits_good' },
  quotas: { needs: 'clients', dedicated: 'quota' },
  auth_failures: { needs: 'client', nativeOnly: true, dedicated: 'victim', legitimate: 'auth_failures_good' },
  watch: { needs: 'metrics' },
};

// The scenarios of legitimate traffic.
export const LEGITIMATE = Object.values(SCENARIOS).flatMap(({ legitimate }) => legitimate ?? []);

// Scenarios whose single VU sends all due requests together and tracks each client's limit.
export const SINGLE_VU = ['limits', 'quotas'];

// Floods of wrong secrets.
export const FLOODS = ['bad_secrets', 'auth_failures'];

// Scenarios whose rate does not follow the ramp or the steps of a profile.
export const FIXED_RATE = ['herd', 'watch', ...SINGLE_VU, ...LEGITIMATE];

// Group names in SCENARIOS.
export const GROUPS = {
  all: Object.keys(SCENARIOS).filter((name) => name !== 'client_credentials'),
  client_credentials: FORMATS.map((format) => `client_credentials_${format}`),
};

// Endpoint names in tags and reports.
export const ENDPOINTS = ['token', 'introspect', 'introspect_batch', 'revoke', 'jwks', 'paseto_keys', 'metadata'];
