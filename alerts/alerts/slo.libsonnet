// Burn rates of the error budgets: HighErrorRate and HighLatency page, ErrorBudgetBurn and LatencyBudgetBurn are tickets.
local indicators = import '../lib/indicators.libsonnet';
{
  local c = $._config,
  local alert = (import '../lib/alert.libsonnet')(c),

  // At `factor` times the allowed rate, the budget of 30 days lasts 30 days / factor.
  local burns = {
    page: [{ factor: 14.4, long: '1h', short: '5m' }, { factor: 6, long: '6h', short: '30m' }],
    ticket: [{ factor: 3, long: '1d', short: '2h' }, { factor: 1, long: '3d', short: '6h' }],
  },
  local names = {
    availability: { page: 'HighErrorRate', ticket: 'ErrorBudgetBurn' },
    latency: { page: 'HighLatency', ticket: 'LatencyBudgetBurn' },
  },
  local verbs = { availability: 'are answered 5xx', latency: 'are slower than %s s' },

  local burn(endpoint, slo, severity, at) =
    local objective = c.objectives[endpoint];
    local indicator = indicators(c, objective)[slo];
    local ratio(window) = '%s:oauth2_server_%s_errors:ratio_rate%s{endpoint="%s"}' % [c.level(['endpoint']), slo, window, endpoint];
    local limit = '%g * (1 - %g)' % [at.factor, indicator.objective];
    local verb = if slo == 'latency' then verbs[slo] % objective.latency.seconds else verbs[slo];
    alert(
      names[slo][severity],
      severity,
      '%s > %s\nand %s > %s' % [ratio(at.long), limit, ratio(at.short), limit]
      + (if severity == 'page' then
           // An increase: errors per second times the seconds of the window.
           '\nand %s (%s) * %g >= %g' % [c.on(), indicator.errors(at.long), c.seconds(at.long), c.thresholds.pageErrors]
         else ''),
      'The %s endpoint spends its %s error budget at %g times the sustainable rate or faster.' % [endpoint, slo, at.factor],
      '{{ $value | humanizePercentage }} of the %s requests of {{ $labels.job }} in the last %s %s; the objective allows %g %%. At this rate the error budget of 30 days is spent within %s.' % [
        endpoint,
        at.long,
        verb,
        std.round((1 - indicator.objective) * 100000) / 1000,
        { '14.4': '2 days', '6': '5 days', '3': '10 days', '1': '30 days' }['%g' % at.factor],
      ],
      dashboard='slo',
      labels={ slo: slo, endpoint: endpoint, window: at.long },
    ),

  prometheusAlerts+:: {
    groups+: [{
      name: 'oauth2-server-slo-alerts',
      rules: [
        burn(endpoint, slo, severity, at)
        for slo in ['availability', 'latency']
        for endpoint in std.objectFields(c.objectives)
        for severity in ['page', 'ticket']
        for at in burns[severity]
      ],
    }],
  },
}
