// Access tokens: what is issued, what fails, how long it takes, and how the commits are shared.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

local issued = 'oauth2_server_oauth_token_issued_total';
local duration = 'oauth2_server_http_request_duration_seconds';
local batch = 'oauth2_server_token_commit_batch_size';
local commit = 'oauth2_server_token_commit_duration_seconds';
local overlap = '%s / %s' % [query.rate('oauth2_server_token_signing_overlapped_seconds_total'), query.rate('oauth2_server_token_signing_seconds_total')];
local cacheHits = '%s / %s' % [query.rate('oauth2_server_verified_token_cache_total', '', 'result=~"hit|issued"'), query.rate('oauth2_server_verified_token_cache_total')];

function(config, name)
  local slo = (import '../lib/objectives.libsonnet')(config);
  local route = slo.routes('token');

  local tiles = [
    panel.stat('Tokens issued', 'Access tokens issued per second.', [query.target(query.rate(issued), 'tokens')], 'ops'),
    panel.stat(
      'Issued in this range',
      'Access tokens issued in the time range of the dashboard.',
      [query.instant(query.inRange(issued), 'tokens')],
      'short',
      { graph: false }
    ),
    panel.stat(
      'Token p99',
      'Time within which 99 % of the token requests were answered.',
      [query.target(query.quantile('0.99', duration, '', route), 'p99')],
      's',
      { thresholds: [[null, colors.good], [slo.seconds('token') / 2, colors.warning], [slo.seconds('token'), colors.bad]] }
    ),
    panel.stat(
      'Tokens per commit',
      'Mean number of token rows in a commit. It rises under load: that is how commits are shared.',
      [query.target(query.mean(batch), 'tokens')],
      'none',
      { decimals: 1 }
    ),
    panel.stat(
      'Signing overlapped',
      'Share of the time spent on signing tokens in which the token store had a commit in flight. The more, the less the store waits for signatures.',
      [query.target(overlap, 'overlapped')],
      'percentunit',
      { decimals: 0, max: 1 }
    ),
    panel.stat(
      'Unexpired tokens',
      'Tokens issued and not expired, as the instances count them.',
      [query.target(query.sum('oauth2_server_still_valid_tokens'), 'tokens')],
      'short'
    ),
  ];

  local issuedRow = [
    panel.timeseries(
      'Issued by format',
      'Access tokens issued per second, by format.',
      [query.target(query.rate(issued, 'format'), '{{format}}')],
      'ops',
      { w: 8, stack: true, overrides: panel.colored(['paseto', 'jwt', 'opaque']) }
    ),
    panel.timeseries(
      'Issued by grant',
      'Access tokens issued per second, by grant type.',
      [query.target(query.rate(issued, 'grant_type'), '{{grant_type}}')],
      'ops',
      { w: 8, stack: true }
    ),
    panel.timeseries(
      'Reused',
      'Token requests per second that were answered with a token that the client had before (reuse_percent). They need no commit.',
      [query.target(query.rate('oauth2_server_reused_tokens_total'), 'reused')],
      'ops',
      { w: 8 }
    ),
  ];

  local errors = [
    panel.timeseries(
      'Rejected by reason',
      'Token requests per second that were answered with 4xx, by reason.',
      [query.target(query.rate('oauth2_server_reject_total', 'reason', 'endpoint="token"'), '{{reason}}')],
      'reqps',
      { w: 8, stack: true, hideZero: true, overrides: panel.colored(panel.rejections) }
    ),
    panel.timeseries(
      'Shed by reason',
      'Token requests per second that were answered with 503, by reason.',
      [query.target(query.rate('oauth2_server_shed_total', 'reason', 'endpoint="token"'), '{{reason}}')],
      'reqps',
      { w: 8, stack: true, hideZero: true, overrides: panel.colored(panel.sheds) }
    ),
    panel.timeseries(
      'Deadlines missed',
      'Requests per second that were answered with 503 because a deadline passed, that of the request or of the store, by endpoint.',
      [query.target(query.rate('oauth2_server_deadlines_missed_total', 'endpoint'), '{{endpoint}}')],
      'reqps',
      { w: 8, overrides: panel.colored(['token', 'introspection', 'revocation', 'admin']) }
    ),
  ];

  local latency = [
    panel.heatmap(
      'Token latency',
      'Token requests per second, by the time that they took. A second band is a group of requests with another cause, such as waiting for a commit.',
      duration,
      's',
      { extra: route }
    ),
    panel.timeseries(
      'Token latency percentiles',
      'Time within which half, 95 % and 99 % of the token requests were answered. The dashed line is the threshold of the objective.',
      query.percentiles(duration, route),
      's',
      { line: { value: slo.seconds('token'), color: colors.bad } }
    ),
  ];

  local commits = [
    panel.heatmap(
      'Distribution of tokens per commit',
      'Commits per second, by the number of token rows that they hold.',
      batch,
      'none',
      { w: 8, scheme: 'Blues' }
    ),
    panel.timeseries(
      'Commit duration',
      'Time that a commit of token rows took, failed commits included.',
      query.percentiles(commit),
      's',
      { w: 8, line: { value: config.thresholds.commitSeconds, color: colors.bad } }
    ),
    panel.timeseries(
      'Commits',
      'Commits of token rows per second, by store.',
      [query.target(query.rate(commit + '_count', 'store'), '{{store}}')],
      'ops',
      { w: 8 }
    ),
    panel.timeseries(
      'Signing and commits',
      'CPUs spent on signing tokens, and the part of it in which the token store of the worker had a commit in flight.',
      [
        query.target(query.rate('oauth2_server_token_signing_seconds_total'), 'signing'),
        query.target(query.rate('oauth2_server_token_signing_overlapped_seconds_total'), 'overlapped with commits'),
      ],
      'none',
      { w: 12, decimals: 3 }
    ),
    panel.timeseries(
      'Signing time per token',
      'CPU time spent on signing, per token issued. RSA takes some twenty times as long as the other algorithms.',
      [query.target('%s / %s' % [query.rate('oauth2_server_token_signing_seconds_total'), query.rate(issued, '', 'format!="opaque"')], 'per token')],
      's',
      { w: 12 }
    ),
  ];

  local use = [
    panel.timeseries(
      'Introspections',
      'Access tokens introspected per second, by the answer. Many inactive ones are clients that use expired or revoked tokens.',
      [
        query.target(query.rate('oauth2_server_oauth_introspections_total', '', 'active="true"'), 'active'),
        query.target(query.rate('oauth2_server_oauth_introspections_total', '', 'active="false"'), 'inactive'),
      ],
      'ops',
      { w: 8, stack: true }
    ),
    panel.timeseries(
      'Tokens recognized without their signature',
      'Share of the self-contained tokens whose signature needed no check, because this process verified them before or issued them.',
      [query.target(cacheHits, 'recognized')],
      'percentunit',
      { w: 8, max: 1 }
    ),
    panel.timeseries(
      'Cached results of verification',
      'Results of token verification in memory; at most 25 MiB together in each instance.',
      [query.target(query.sum('oauth2_server_verified_tokens', 'instance'), '{{instance}}')],
      'short',
      { w: 8 }
    ),
    panel.timeseries(
      'Revocations',
      'Revocations committed per second: of a token, or a cut-off for everything of a client, user, key or the issuer.',
      [query.target(query.rate('oauth2_server_oauth_token_revoked_total', 'kind'), '{{kind}}')],
      'ops',
      { w: 8, stack: true, hideZero: true }
    ),
    panel.heatmap(
      'Introspection latency',
      'Introspection requests per second, batches included, by the time that they took.',
      duration,
      's',
      { w: 8, extra: slo.routes('introspection'), scheme: 'Purples' }
    ),
    panel.heatmap(
      'Revocation latency',
      'Revocation requests per second, by the time that they took.',
      duration,
      's',
      { w: 8, extra: slo.routes('revocation'), scheme: 'YlOrBr' }
    ),
  ];

  local keys = [
    panel.timeseries(
      'Signing keys',
      'Keys by algorithm and state of their lifecycle.',
      [query.target('max by (algorithm, state) (%s)' % query.series('oauth2_server_signing_keys'), '{{algorithm}} {{state}}')],
      'none',
      { w: 8, h: 7, decimals: 0, calcs: ['lastNotNull'], hideZero: true }
    ),
    panel.timeseries(
      'Age of the active key',
      'Time since the active key of an algorithm was activated.',
      [query.target(query.max('oauth2_server_signing_key_age_seconds', 'algorithm'), '{{algorithm}}')],
      's',
      { w: 8, h: 7, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Rotation due in',
      'Time until the active key is older than the rotation period. Below 0 the rotation is overdue.',
      [query.target(query.min('oauth2_server_signing_key_rotation_due_seconds', 'algorithm'), '{{algorithm}}')],
      's',
      { w: 4, h: 7, min: null, calcs: ['lastNotNull'], line: { value: 0, color: colors.bad } }
    ),
    panel.stat(
      'Keys removed too early',
      'Keys whose scheduled removal is earlier than the expiry of the last token that they may have signed. Verifiers would reject those tokens.',
      [query.target(query.max('oauth2_server_retired_keys_with_live_tokens'), 'keys')],
      'none',
      { w: 4, h: 7, thresholds: [[null, colors.good], [1, colors.bad]] }
    ),
    panel.timeseries(
      'Certificates expire in',
      'Time until the certificate of a listener expires, of the instance where that is soonest. Empty where a proxy terminates TLS.',
      [query.target('%s - time()' % query.min('oauth2_server_tls_certificate_expiry_timestamp_seconds', 'listener'), '{{listener}}')],
      's',
      { w: 12, h: 7, min: null, calcs: ['lastNotNull'], line: { value: 0, color: colors.bad } }
    ),
    panel.timeseries(
      'TLS files in use',
      '1 while every instance serves what its TLS files hold, 0 while changed files cannot be used. Empty where a proxy terminates TLS.',
      [query.target(query.min('oauth2_server_tls_files_current', 'listener'), '{{listener}}')],
      'none',
      { w: 12, h: 7, decimals: 0, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Verifiers',
      'Verifiers of the published key sets in the last week, and verifiers that lack a key although they had the time to fetch it. `oauth2_server key status` names them.',
      [
        query.target(query.max('oauth2_server_verifiers'), 'seen in the last week'),
        query.target(query.max('oauth2_server_verifiers_behind'), 'lack a key'),
      ],
      'none',
      { w: 12, h: 7, decimals: 0, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Fallback introspection',
      'Opaque tokens of the previous issuer, by what became of the question to its introspection endpoint. Nothing where none is configured.',
      [query.target(query.rate('oauth2_server_fallback_introspections_total', 'outcome'), '{{outcome}}')],
      'ops',
      { w: 12, h: 7 }
    ),
  ];

  dashboard.new(
    config,
    name,
    'Issuance',
    'Access tokens by grant and format, errors, latency, commits, use, signing keys and certificates.',
    [
      dashboard.row('Now', tiles),
      dashboard.row('Issued', issuedRow),
      dashboard.row('Errors', errors),
      dashboard.row('Latency', latency),
      dashboard.row('Commits and signing', commits),
      dashboard.row('Introspection and revocation', use),
      dashboard.row('Keys and certificates', keys),
    ]
  )
