// The committed files: jsonnet -S -m alerts alerts/render.jsonnet
local mixin = import 'mixin.libsonnet';
local header = '# Generated from alerts/mixin.libsonnet by `make observability`; do not edit.\n';

// Expressions of several lines become blocks.
local blocks(groups) = [
  group { rules: [rule { expr: if std.length(std.findSubstr('\n', super.expr)) > 0 then super.expr + '\n' else super.expr } for rule in group.rules] }
  for group in groups
];
local yaml(value) = header + std.manifestYamlDoc(value, quote_keys=false) + '\n';
local rules = blocks(mixin.prometheusRules.groups);
local alerts = blocks(mixin.prometheusAlerts.groups);

local tests = {
  slo: import 'tests/source/slo.libsonnet',
  targets: import 'tests/source/targets.libsonnet',
  saturation: import 'tests/source/saturation.libsonnet',
  store: import 'tests/source/store.libsonnet',
  keys: import 'tests/source/keys.libsonnet',
  bus: import 'tests/source/bus.libsonnet',
  abuse: import 'tests/source/abuse.libsonnet',
  actors: import 'tests/source/actors.libsonnet',
};

{ ['tests/%s.yaml' % theme]: yaml(tests[theme]) for theme in std.objectFields(tests) }
{
  'oauth2-server.rules.yaml': yaml({ groups: rules }),
  'oauth2-server.alerts.yaml': yaml({ groups: alerts }),
  'prometheus-rule.yaml': yaml({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'oauth2-server', labels: { 'app.kubernetes.io/name': 'oauth2-server' } },
    spec: { groups: rules + alerts },
  }),
  'alertmanager.yaml': yaml(mixin.alertmanagerConfig),
}
