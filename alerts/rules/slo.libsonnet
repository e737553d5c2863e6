// Availability and latency of each endpoint with an objective: failed and counted requests, their ratio in every window of the alerts, and
// the error budget. Without traffic a rule has no sample, so nothing fires and no panel shows NaN.
local indicators = import '../lib/indicators.libsonnet';
{
  local c = $._config,
  local level = c.level(['endpoint']),
  local name(slo, series, operation) = '%s:oauth2_server_%s_%s:%s' % [level, slo, series, operation],

  local rulesOf(endpoint, slo, indicator) =
    local labels = { endpoint: endpoint };
    local own = '{endpoint="%s"}' % endpoint;
    local record(series, operation, expr) = { record: name(slo, series, operation), labels: labels, expr: expr };
    [
      record('events', 'rate5m', indicator.events('5m')),
      record('errors', 'rate5m', indicator.errors('5m')),
    ] + [
      record('errors', 'ratio_rate' + window, '%s\n/ (%s > 0)' % [indicator.errors(window), indicator.events(window)])
      for window in ['5m', '30m', '1h', '2h', '6h']
    ] + [
      // Of recorded rates: a long range over every counter costs too much.
      record('errors', 'ratio_rate' + window, 'sum %(by)s (sum_over_time(%(errors)s%(own)s[%(range)s]))\n/ (sum %(by)s (sum_over_time(%(events)s%(own)s[%(range)s])) > 0)' % {
        by: c.by(),
        errors: name(slo, 'errors', 'rate5m'),
        events: name(slo, 'events', 'rate5m'),
        own: own,
        range: c.duration(window),
      })
      for window in ['1d', '3d', '30d']
    ] + [
      record('budget', 'remaining30d', '1 - %s%s / %s' % [name(slo, 'errors', 'ratio_rate30d'), own, '(1 - %g)' % indicator.objective]),
    ],

  local constants(endpoint, objective) = [
    { record: 'endpoint:oauth2_server_%s:objective' % item[0], labels: { endpoint: endpoint }, expr: 'vector(%s)' % item[1] }
    for item in [
      ['availability', '%g' % objective.availability],
      ['latency', '%g' % objective.latency.ratio],
      ['latency_threshold_seconds', objective.latency.seconds],
    ]
  ],

  prometheusRules+:: {
    groups+: [
      {
        name: 'oauth2-server-slo-' + endpoint,
        local objective = c.objectives[endpoint],
        local both = indicators(c, objective),
        rules: std.flatMap(function(slo) rulesOf(endpoint, slo, both[slo]), ['availability', 'latency']) + constants(endpoint, objective),
      }
      for endpoint in std.objectFields(c.objectives)
    ],
  },
}
