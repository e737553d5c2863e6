// The bus: hints between the nodes of an issuer.
{
  local c = $._config,
  local alert = (import '../lib/alert.libsonnet')(c),
  local instance = c.groupLabels + ['instance'],
  local gauge(name, labels='') = 'oauth2_server_%s{%s}' % [name, c.select(labels)],

  prometheusAlerts+:: {
    groups+: [{
      name: 'oauth2-server-bus',
      rules: [
        alert(
          'OAuth2BusDown',
          'ticket',
          gauge('bus_up') + ' == 0',
          'Hints between nodes do not arrive.',
          'The hints of {{ $labels.instance }} have not arrived for 5 minutes (bus_up is {{ $value }}). Revocations are seen by other nodes after up to 500 ms instead of 100 ms.',
          dashboard='store',
          after='5m',
          variables=instance,
        ),
        alert(
          'OAuth2BusForged',
          'ticket',
          'increase(%s[%s]) > 0' % [gauge('bus_messages_dropped_total', 'reason="forged"'), c.duration('15m')],
          'Messages with an invalid MAC arrive on the bus.',
          '{{ $labels.instance }} dropped {{ $value | printf "%.0f" }} messages of the bus in 15 minutes, because their sender has another key encryption key.',
          dashboard='store',
          variables=instance,
        ),
      ],
    }],
  },
}
