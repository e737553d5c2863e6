// The service level objectives: the one file to edit. Afterwards: make observability.
//
// availability: share of requests, without 4xx, that are not answered 5xx, over 30 days.
// latency:      share of requests answered within `seconds`, which must be a bucket of
//               oauth2_server_http_request_duration_seconds: 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.001 2.5 5.001.
// routes:       regular expression of the label `route`.
{
  token: {
    routes: '/oauth/token',
    availability: 0.999,
    latency: { ratio: 0.99, seconds: '0.1' },
  },
  introspection: {
    routes: '/oauth/introspect|/oauth/introspect/batch',
    availability: 0.999,
    latency: { ratio: 0.99, seconds: '0.05' },
  },
  revocation: {
    routes: '/oauth/revoke',
    availability: 0.999,
    latency: { ratio: 0.99, seconds: '0.25' },
  },
}
