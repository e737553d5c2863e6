// The dashboards as a mixin: { _config, grafanaDashboards }. Override `_config.grafana` for a fleet's own titles, tags or range.
(import '../alerts/config.libsonnet') + {
  _config+:: {
    grafana: {
      titlePrefix: 'OAuth2 server / ',
      tags: ['oauth2-server'],
      range: '1h',
      refresh: '30s',
    },
  },

  local dashboards = {
    overview: import 'dashboards/overview.libsonnet',
    issuance: import 'dashboards/issuance.libsonnet',
    store: import 'dashboards/store.libsonnet',
    slo: import 'dashboards/slo.libsonnet',
    abuse: import 'dashboards/abuse.libsonnet',
    'load-test': import 'dashboards/load-test.libsonnet',
  },
  // A label of the rules in front of `job`, such as cluster, is a variable of the dashboards.
  local withLabels(dashboard) = std.foldr(
    function(label, built) (import 'lib/cluster.libsonnet')(built, label),
    std.filter(function(label) label != 'job', $._config.groupLabels),
    dashboard
  ),
  grafanaDashboards+:: {
    ['oauth2-%s.json' % name]: withLabels(dashboards[name]($._config, name))
    for name in std.objectFields(dashboards)
  },
}
