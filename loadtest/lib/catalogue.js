// Which scenarios there are and what each cannot do without.
//
// needs: "client"   one client at least; an existing one will do (CLIENT_ID and CLIENT_SECRET)
//        "clients"  clients of its own, made through the admin API
//        "metrics"  the server's /metrics
//        "nothing"  the public endpoints alone
// asks:  endpoints that not every server has
// ours:  endpoints that no other server has
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
  bad_secrets: { needs: 'client' },
  watch: { needs: 'metrics' },
};

// The good traffic beside the flood of wrong secrets. It is chosen with `bad_secrets`, never alone.
export const GOOD = 'bad_secrets_good';

// Names that stand for several.
export const GROUPS = {
  all: Object.keys(SCENARIOS).filter((name) => name !== 'client_credentials'),
  client_credentials: FORMATS.map((format) => `client_credentials_${format}`),
};

// What an endpoint is called in tags and reports.
export const ENDPOINTS = ['token', 'introspect', 'introspect_batch', 'revoke', 'jwks', 'paseto_keys', 'metadata'];
