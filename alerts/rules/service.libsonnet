// Sums that dashboards show often: requests, latency, tokens, commits, mailboxes, CPU.
{
  local c = $._config,
  local rate(metric, labels, window='5m') = 'rate(%s{%s}[%s])' % [metric, c.select(labels), c.duration(window)],
  local record(extra, name, expr) = { record: '%s:oauth2_server_%s' % [c.level(extra), name], expr: expr },
  local quantile(q, extra, metric, labels='') =
    // A quantile of nothing is NaN, which `>= 0` drops.
    'histogram_quantile(%s, sum %s (%s)) >= 0' % [q, c.by(extra + ['le']), rate(metric + '_bucket', labels)],
  local endpoints = std.objectFields(c.objectives),
  local routes(endpoint) = 'route=~"%s"' % c.objectives[endpoint].routes,

  prometheusRules+:: {
    groups+: [
      {
        name: 'oauth2-server-requests',
        rules: [
          record(['route', 'status'], 'http_requests:rate5m', 'sum %s (%s)' % [c.by(['route', 'status']), rate('oauth2_server_http_requests_total', '')]),
        ] + [
          record(['endpoint'], 'http_requests:rate5m', 'sum %s (%s)' % [c.by(), rate('oauth2_server_http_requests_total', routes(endpoint))])
          { labels: { endpoint: endpoint } }
          for endpoint in endpoints
        ] + [
          record(['endpoint'], 'http_request_duration_seconds:%s_rate5m' % q[0], quantile(q[1], [], 'oauth2_server_http_request_duration_seconds', routes(endpoint)))
          { labels: { endpoint: endpoint } }
          for endpoint in endpoints
          for q in [['p50', '0.5'], ['p95', '0.95'], ['p99', '0.99']]
        ],
      },
      {
        name: 'oauth2-server-resources',
        rules: [
          record(
            ['grant_type', 'format'],
            'oauth_tokens_issued:rate5m',
            'sum %s (%s)' % [c.by(['grant_type', 'format']), rate('oauth2_server_oauth_token_issued_total', '')]
          ),
          record(
            ['store'],
            'token_commit_duration_seconds:p99_rate5m',
            quantile('0.99', ['store'], 'oauth2_server_token_commit_duration_seconds')
          ),
          record(
            ['actor'],
            'actor_mailbox_wait_seconds:p99_rate5m',
            quantile('0.99', ['actor'], 'oauth2_server_actor_mailbox_wait_seconds')
          ),
          record(
            ['instance'],
            'process_cpu_cores:rate5m',
            'sum %s (%s)' % [c.by(['instance']), rate('oauth2_server_process_cpu_seconds_total', '')]
          ),
        ],
      },
    ],
  },
}
