// The monitoring mixin: prometheusRules, prometheusAlerts and grafanaDashboards, configured by _config.
(import 'config.libsonnet')
+ (import 'rules/slo.libsonnet')
+ (import 'rules/service.libsonnet')
+ (import 'alerts/slo.libsonnet')
+ (import 'alerts/targets.libsonnet')
+ (import 'alerts/saturation.libsonnet')
+ (import 'alerts/store.libsonnet')
+ (import 'alerts/keys.libsonnet')
+ (import 'alerts/abuse.libsonnet')
+ (import 'alerts/actors.libsonnet')
+ (import 'alertmanager.libsonnet')
// Read only where it is used: rules and alerts need no dashboards.
+ { grafanaDashboards+:: ((import '../grafana/dashboards.libsonnet') + { _config+:: $._config }).grafanaDashboards }
