// Clients that fail to authenticate, or exceed their limits.
{
  local c = $._config,
  local t = c.thresholds,
  local alert = (import '../lib/alert.libsonnet')(c),
  local rate(name, labels='', extra=[]) =
    'sum %s (rate(oauth2_server_%s{%s}[%s]))' % [c.by(extra), name, c.select(labels), c.duration('5m')],
  // More than `floor` per second, and more than `ratio` of all.
  local spike(some, all, floor, ratio) = '%s\n/ (%s > 0) > %g\nand %s > %g' % [some, all, ratio, some, floor],

  prometheusAlerts+:: {
    groups+: [{
      name: 'oauth2-server-abuse',
      rules: [
        alert(
          'OAuth2AuthFailureSpike',
          'ticket',
          spike(
            rate('auth_failures_total'),
            rate('http_requests_total', 'route=~"%s"' % c.endpointRoutes),
            t.authFailuresPerSecond,
            t.authFailureRatio
          ),
          'Many clients fail to authenticate.',
          '{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail to authenticate their client.',
          dashboard='abuse',
          after='5m',
        ),
        alert(
          'OAuth2ForeignHashesShed',
          'ticket',
          '%s > %g' % [rate('foreign_hash_checks_total', 'outcome="shed"'), t.foreignHashesShedPerSecond],
          'Secrets of imported clients wait too long for their verification.',
          '{{ $value | humanize }} requests per second to {{ $labels.job }} are answered 503, because the hashes of their secrets are slow to verify.',
          dashboard='abuse',
          after='10m',
        ),
        alert(
          'OAuth2RateLimitSpike',
          'ticket',
          spike(
            rate('rate_limit_decisions_total', 'decision="limited"', ['endpoint']),
            rate('rate_limit_decisions_total', extra=['endpoint']),
            t.rateLimitedPerSecond,
            t.rateLimitedRatio
          ),
          'Many requests exceed a rate limit.',
          '{{ $value | humanizePercentage }} of the {{ $labels.endpoint }} requests of clients with a rate limit are answered 429 by {{ $labels.job }}.',
          dashboard='abuse',
          after='5m',
        ),
        alert(
          'OAuth2ClientsOverQuota',
          'info',
          'max %s (oauth2_server_clients_over_quota{%s}) > 0' % [c.by(), c.select()],
          'Clients are over their quota.',
          '{{ $value }} clients of {{ $labels.job }} have used up a quota of tokens. Their requests are answered 429 until the window ends.',
          dashboard='abuse',
          after='5m',
        ),
      ],
    }],
  },
}
