// Whether there is a server, whether it is ready, and whether anybody asks it.
{
  local c = $._config,
  local alert = (import '../lib/alert.libsonnet')(c),
  local instance = c.groupLabels + ['instance'],
  local requests = 'oauth2_server_http_requests_total{%s}' % c.select('route=~"%s"' % c.endpointRoutes),

  prometheusAlerts+:: {
    groups+: [{
      name: 'oauth2-server-targets',
      rules: [
        alert(
          'OAuth2TargetDown',
          'ticket',
          'up{%s} == 0' % c.select(),
          'An instance of the server cannot be scraped.',
          'Prometheus has not been able to scrape {{ $labels.instance }} of {{ $labels.job }} for 2 minutes (up is {{ $value }}).',
          after='2m',
          variables=instance,
        ),
        alert(
          'OAuth2TargetAbsent',
          'page',
          'absent(up{%s})\nor sum %s (up{%s}) == 0' % [c.select(), c.by(), c.select()],
          'No instance of the server can be scraped.',
          'Prometheus finds no instance of {{ $labels.job }} that it can scrape: there is no target, or every one is down (value {{ $value }}).',
          after='2m',
        ),
        alert(
          'OAuth2NotReady',
          'ticket',
          'oauth2_server_ready{%s} == 0' % c.select(),
          'An instance is not ready.',
          '/ready of {{ $labels.instance }} has answered 503 for 5 minutes (ready is {{ $value }}); load balancers send it no requests.',
          after='5m',
          variables=instance,
        ),
        alert(
          'OAuth2NoInstanceReady',
          'page',
          'max %s (oauth2_server_ready{%s}) == 0' % [c.by(), c.select()],
          'No instance is ready.',
          'No instance of {{ $labels.job }} answers /ready with 200 (ready is {{ $value }}): load balancers have nowhere to send requests.',
          after='1m',
        ),
        alert(
          'OAuth2NoTraffic',
          'ticket',
          'sum %s (rate(%s[%s])) == 0\nand sum %s (rate(%s[%s] offset %s)) > %g' % [
            c.by(),
            requests,
            c.duration('15m'),
            c.by(),
            requests,
            c.duration('1h'),
            c.duration('15m'),
            c.thresholds.trafficPerSecond,
          ],
          'Requests stopped arriving.',
          '{{ $labels.job }} has had {{ $value }} requests per second for 15 minutes, after steady traffic in the hour before.',
          after='5m',
        ),
        alert(
          'OAuth2ProcessCrashLoop',
          'page',
          'changes(oauth2_server_process_start_time_seconds{%s}[%s]) >= %g' % [c.select(), c.duration('15m'), c.thresholds.restartsInLoop],
          'The process restarts again and again.',
          'The process of {{ $labels.instance }} started {{ $value }} times in the last 15 minutes.',
          variables=instance,
        ),
      ] + (if c.watchdog then [
             alert(
               'Watchdog',
               'none',
               'vector(1)',
               'Always fires.',
               'This alert always fires (value {{ $value }}). A receiver outside of this system should report when it stops arriving: then Prometheus, Alertmanager or the way to it is broken.',
               variables=[],
             ),
           ] else []),
    }],
  },
}
