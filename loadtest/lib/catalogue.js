// Which scenarios there are and what each cannot do without.
//
// needs: "client"   one client at least; an existing one will do (CLIENT_ID and CLIENT_SECRET)
//        "clients"  clients of its own, made through the admin API
//        "metrics"  the server's /metrics
//        "nothing"  the public endpoints alone
// asks:  endpoints that not every server has
// ours:  endpoints or answers that no other server has
// marked: which clients it has to itself, see `clients.js`
// beside: the good traffic that runs along, chosen with it and never alone
export const FORMATS = ['paseto', 'jwt', 'opaque'];

export const SCENARIOS = {
  client_credentials_paseto: { needs: 'clients', format: 'paseto' },
  client_credentials_jwt: { needs: 'clients', format: 'jwt' },
  client_credentials_opaque: { needs: 'clients', format: 'opaque' },
  // The same for an existing client, whose format is its own business.
  client_credentials: { needs: 'client' },
  introspect: { needs: 'client', asks: ['introspect'], pool: true },
  introspect_batch: { needs: 'client', ours: true, pool: true },
  revoke: { needs: 'client', asks: ['introspect', 'revoke'] },
  discovery: { needs: 'nothing', ours: true },
  mix: { needs: 'client', ours: true, pool: true },
  herd: { needs: 'clients' },
  bad_secrets: { needs: 'client', beside: 'bad_secrets_good' },
  limits: { needs: 'clients', marked: 'limited', beside: 'limits_good' },
  quotas: { needs: 'clients', marked: 'quota' },
  auth_failures: { needs: 'client', ours: true, marked: 'victim', beside: 'auth_failures_good' },
  watch: { needs: 'metrics' },
};

// All that runs beside something.
export const GOOD = Object.values(SCENARIOS).flatMap(({ beside }) => beside ?? []);

// Scenarios of one VU that sends what is due together and keeps the clients' books.
export const PACED = ['limits', 'quotas'];

// Floods of wrong secrets.
export const FLOODS = ['bad_secrets', 'auth_failures'];

// What has a pace of its own and does not climb or follow the ramp of a profile.
export const STEADY = ['herd', 'watch', ...PACED, ...GOOD];

// Names that stand for several.
export const GROUPS = {
  all: Object.keys(SCENARIOS).filter((name) => name !== 'client_credentials'),
  client_credentials: FORMATS.map((format) => `client_credentials_${format}`),
};

// What an endpoint is called in tags and reports.
export const ENDPOINTS = ['token', 'introspect', 'introspect_batch', 'revoke', 'jwks', 'paseto_keys', 'metadata'];
