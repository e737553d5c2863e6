// Abuse and fairness: who fails to authenticate, who runs into limits, who does not cache. No metric has a label for the client:
// `oauth2_server client top` and the audit log name them.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

local requests = 'oauth2_server_http_requests_total';

function(config, name)
  local thresholds = config.thresholds;

  local tiles = [
    panel.stat(
      'Failed authentications now',
      'Failed client authentications per second.',
      [query.target(query.rate('oauth2_server_auth_failures_total'), 'failures')],
      'ops',
      { thresholds: [[null, colors.good], [thresholds.authFailuresPerSecond, colors.warning], [thresholds.authFailuresPerSecond * 10, colors.bad]] }
    ),
    panel.stat(
      'Over a rate limit now',
      'Requests per second that were answered with 429 because of the rate limit of their client.',
      [query.target(query.rate('oauth2_server_rate_limit_decisions_total', '', 'decision="limited"'), 'limited')],
      'reqps',
      { thresholds: [[null, colors.good], [thresholds.rateLimitedPerSecond, colors.warning]] }
    ),
    panel.stat(
      'Clients over a quota now',
      'Clients that have used up a quota of the hour, day or month.',
      [query.target(query.max('oauth2_server_clients_over_quota'), 'clients')],
      'none',
      { thresholds: [[null, colors.good], [1, colors.warning]] }
    ),
    panel.stat(
      'Not caching now',
      'Clients with more than OAUTH2_QUOTAS_STILL_VALID_TOKENS unexpired tokens: they request a token for every call.',
      [query.target(query.max('oauth2_server_clients_not_caching'), 'clients')],
      'none',
      { thresholds: [[null, colors.good], [1, colors.warning]] }
    ),
    panel.stat(
      'Share of the busiest client',
      'Share of the tokens of the last full minute that went to the client with the most. "oauth2_server client top" names it.',
      [query.target(query.max('oauth2_server_busiest_client_share'), 'share')],
      'percentunit',
      { decimals: 0, max: 1, thresholds: [[null, colors.good], [0.5, colors.notice], [0.8, colors.warning]] }
    ),
    panel.stat(
      'Rejected operators now',
      'Requests per second to the admin API of callers that are no operators.',
      [query.target(query.rate('oauth2_server_operator_rejections_total'), 'rejected')],
      'reqps',
      { thresholds: [[null, colors.good], [0.1, colors.warning], [1, colors.bad]] }
    ),
  ];

  local authentication = [
    panel.timeseries(
      'Failed authentications',
      'Failed client authentications per second, within and over the limit per client and address. Those over the limit are answered with 429 after a delay.',
      [query.target(query.rate('oauth2_server_auth_failures_total', 'decision'), '{{decision}}')],
      'ops',
      { w: 8, stack: true, overrides: panel.colored(['within', 'over']), line: { value: thresholds.authFailuresPerSecond, color: colors.bad } }
    ),
    panel.timeseries(
      'Failed authentications per request',
      'Failed client authentications as a share of the requests to the public endpoints that authenticate clients. One misconfigured client has a share, an attack the most of it.',
      [
        query.target('%s / %s' % [
          query.rate('oauth2_server_auth_failures_total'),
          query.rate(requests, '', 'route=~"/oauth/.*"'),
        ], 'failed'),
      ],
      'percentunit',
      { w: 8, line: { value: thresholds.authFailureRatio, color: colors.bad } }
    ),
    panel.timeseries(
      'Pairs of client and address with failures',
      'Pairs of client and address whose failures are counted. An attack with many names or addresses makes it rise.',
      [query.target(query.sum('oauth2_server_rate_limiter_keys'), 'pairs')],
      'short',
      { w: 8 }
    ),
    panel.timeseries(
      'Evicted pairs',
      'Pairs per second that were forgotten before their time because the table was full. Their failures start again at none.',
      [query.target(query.rate('oauth2_server_rate_limiter_evictions_total'), 'evicted')],
      'ops',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Failures behind proxies',
      'Failed authentications per second whose X-Forwarded-For or Forwarded was ignored: the peer is not trusted, the header is malformed, or both contradict each other.',
      [query.target(query.rate('oauth2_server_proxy_header_ignored_total', 'reason'), '{{reason}}')],
      'ops',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Rejected operators',
      'Requests per second to the admin API of callers that are no operators, by reason.',
      [query.target(query.rate('oauth2_server_operator_rejections_total', 'reason'), '{{reason}}')],
      'reqps',
      { w: 8, h: 7, hideZero: true }
    ),
  ];

  local imported = [
    panel.timeseries(
      'Secrets compared with imported hashes',
      'Secrets per second that were compared with a hash of another product, by outcome. Remembered: verified before. Shed: answered with 503, because the queue was full or the verification did not end in time. Clients whose hash was replaced are not counted any more.',
      [query.target(query.rate('oauth2_server_foreign_hash_checks_total', 'outcome'), '{{outcome}}')],
      'ops',
      { w: 8, h: 7, stack: true, line: { value: thresholds.foreignHashesShedPerSecond, color: colors.bad } }
    ),
    panel.timeseries(
      'Queue of verifications',
      'Secrets that wait for the verification by a hash of another product, or are verified. At most 16 per thread wait.',
      [query.target(query.sum('oauth2_server_foreign_hash_queue'), 'waiting')],
      'short',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Replaced hashes',
      'Hashes of other products per second that were replaced with fast ones: imported clients that came for the first time.',
      [query.target(query.rate('oauth2_server_secrets_replaced_total'), 'replaced')],
      'ops',
      { w: 8, h: 7 }
    ),
  ];

  local limits = [
    panel.timeseries(
      'Rate limits by decision',
      'Requests per second of clients with a rate limit: allowed, observed (over the limit, allowed) or limited (429).',
      [query.target(query.rate('oauth2_server_rate_limit_decisions_total', 'decision'), '{{decision}}')],
      'reqps',
      { w: 8, stack: true, overrides: panel.colored(['allowed', 'observed', 'limited']) }
    ),
    panel.timeseries(
      'Limited by endpoint',
      'Requests per second that were over the rate limit of their client, by endpoint, whether they were answered with 429 or only observed.',
      [query.target(query.rate('oauth2_server_rate_limit_decisions_total', 'endpoint', 'decision!="allowed"'), '{{endpoint}}')],
      'reqps',
      { w: 8, overrides: panel.colored(['token', 'introspection', 'revocation']), line: { value: thresholds.rateLimitedPerSecond, color: colors.bad } }
    ),
    panel.timeseries(
      'Clients near a rate limit',
      'Buckets of clients with a rate limit that are not full.',
      [query.target(query.sum('oauth2_server_rate_limited_clients'), 'buckets')],
      'short',
      { w: 8 }
    ),
    panel.timeseries(
      'Decided by shares',
      'Requests per second that were decided by the share of a rate that each instance allows while Redis does not respond. 0 without Redis.',
      [query.target(query.rate('oauth2_server_rate_limit_shares_total', 'instance'), '{{instance}}')],
      'reqps',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Quotas by decision',
      'Tokens requested per second by clients with a quota: allowed, observed (over the quota, allowed) or limited (429).',
      [query.target(query.rate('oauth2_server_quota_decisions_total', 'decision'), '{{decision}}')],
      'ops',
      { w: 8, h: 7, stack: true, overrides: panel.colored(['allowed', 'observed', 'limited']) }
    ),
    panel.timeseries(
      'Clients over a quota',
      'Clients that have used up a quota of the hour, day or month.',
      [query.target(query.max('oauth2_server_clients_over_quota'), 'clients')],
      'none',
      { w: 8, h: 7, decimals: 0 }
    ),
  ];

  local fairness = [
    panel.timeseries(
      'Share of the busiest clients',
      'Share of the tokens of the last full minute that went to the client with the most, and to the ten with the most.',
      [
        query.target(query.max('oauth2_server_busiest_client_share'), 'busiest'),
        query.target(query.max('oauth2_server_busiest_ten_clients_share'), 'busiest ten'),
      ],
      'percentunit',
      { w: 8, max: 1 }
    ),
    panel.timeseries(
      'Unexpired tokens',
      'Unexpired tokens of all clients, and of the client with the most.',
      [
        query.target(query.sum('oauth2_server_still_valid_tokens'), 'all clients'),
        query.target(query.max('oauth2_server_still_valid_tokens_max'), 'client with the most'),
      ],
      'short',
      { w: 8 }
    ),
    panel.timeseries(
      'Clients that do not cache',
      'Clients with more than OAUTH2_QUOTAS_STILL_VALID_TOKENS unexpired tokens.',
      [query.target(query.max('oauth2_server_clients_not_caching'), 'clients')],
      'none',
      { w: 8, decimals: 0 }
    ),
  ];

  local traffic = [
    panel.timeseries(
      'Rejected by endpoint',
      'Requests per second that were answered with 4xx because of their content or a limit, by endpoint.',
      [query.target(query.rate('oauth2_server_reject_total', 'endpoint'), '{{endpoint}}')],
      'reqps',
      { w: 12, stack: true, hideZero: true, overrides: panel.colored(panel.endpoints) }
    ),
    panel.timeseries(
      'Rejected by reason',
      'Requests per second that were answered with 4xx because of their content or a limit, by reason.',
      [query.target(query.rate('oauth2_server_reject_total', 'reason'), '{{reason}}')],
      'reqps',
      { w: 12, stack: true, hideZero: true, overrides: panel.colored(panel.rejections) }
    ),
    panel.timeseries(
      'Requests that match no route',
      'Requests per second for paths that do not exist: scanners, or a client with a wrong URL.',
      [query.target(query.rate(requests, '', 'route="unmatched"'), 'unmatched')],
      'reqps',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Connections closed by the server',
      'Connections per second that the server closed: a request that did not end (head, body), a client that did not read (write), idle ones, or evicted by newer ones.',
      [query.target(query.rate('oauth2_server_connections_closed_total', 'listener, reason'), '{{listener}} {{reason}}')],
      'ops',
      { w: 8, h: 7, hideZero: true }
    ),
    panel.timeseries(
      'Audit rows folded',
      'Failed authentications and rejected changes per second that share a summary row in the audit log because there were too many.',
      [query.target(query.rate('oauth2_server_audit_folded_total'), 'folded')],
      'ops',
      { w: 8, h: 7 }
    ),
  ];

  dashboard.new(
    config,
    name,
    'Abuse and fairness',
    'Failed authentications, rate limits, quotas, clients that do not cache their tokens, and the shares of the busiest.',
    [
      dashboard.row('Now', tiles),
      dashboard.row('Authentication', authentication),
      dashboard.row('Imported hashes', imported),
      dashboard.row('Rate limits and quotas', limits),
      dashboard.row('Fairness', fairness),
      dashboard.row('Rejected traffic', traffic),
    ]
  )
