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
  grafanaDashboards+:: {
    ['oauth2-%s.json' % name]: dashboards[name]($._config, name)
    for name in std.objectFields(dashboards)
  },
}
