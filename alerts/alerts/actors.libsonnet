// Actors that die, and records that cannot be written.
{
  local c = $._config,
  local t = c.thresholds,
  local alert = (import '../lib/alert.libsonnet')(c),
  local instance = c.groupLabels + ['instance'],
  local metric(name) = 'oauth2_server_%s{%s}' % [name, c.select()],
  local increase(name, window) = 'increase(%s[%s])' % [metric(name), c.duration(window)],

  prometheusAlerts+:: {
    groups+: [{
      name: 'oauth2-server-actors',
      rules: [
        alert(
          'OAuth2ActorRestarts',
          'ticket',
          increase('actor_restarts_total', '15m') + ' > 0',
          'An actor was restarted.',
          'The actor {{ $labels.actor }} of {{ $labels.instance }} was restarted {{ $value | printf "%.0f" }} times in the last 15 minutes.',
          dashboard='store',
          variables=instance,
        ),
        alert(
          'OAuth2ActorCrashLoop',
          'page',
          '%s >= %g' % [increase('actor_restarts_total', '10m'), t.restartsInLoop],
          'An actor crashes in a loop.',
          'The actor {{ $labels.actor }} of {{ $labels.instance }} was restarted {{ $value | printf "%.0f" }} times in the last 10 minutes. More than 5 restarts within a minute end the process (exit code 70).',
          dashboard='store',
          variables=instance,
        ),
        alert(
          'OAuth2AuditBacklog',
          'ticket',
          'min_over_time(%s[%s]) > %g' % [metric('audit_backlog'), c.duration('5m'), t.auditBacklog],
          'Audit rows are not written.',
          '{{ $value }} audit rows of {{ $labels.instance }} wait to be written. They are lost if the process crashes.',
          dashboard='store',
          after='5m',
          variables=instance,
        ),
        alert(
          'OAuth2LogLinesDropped',
          'ticket',
          increase('log_lines_dropped_total', '15m') + ' > 0',
          'Log lines are dropped.',
          '{{ $labels.instance }} dropped {{ $value | printf "%.0f" }} log lines in the last 15 minutes, because its stderr is not read in time.',
          variables=instance,
        ),
      ],
    }],
  },
}
