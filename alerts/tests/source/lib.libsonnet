// Tests for promtool in short form. `fires` and `silent` name an alert and a time; labels and annotations of a firing alert are those of its
// rule with the labels and the value filled in, so a template that does not render fails its test.
local rules = std.flatMap(function(group) group.rules, (import '../../mixin.libsonnet').prometheusAlerts.groups);

local fill(text, labels, value) =
  local withLabels = std.foldl(
    function(done, name) std.strReplace(done, '{{ $labels.%s }}' % name, labels[name]),
    std.objectFields(labels),
    text
  );
  local parts = std.splitLimit(withLabels, '{{ $value', 1);
  if std.length(parts) == 1 then withLabels
  else parts[0] + value + std.splitLimit(parts[1], '}}', 1)[1];

local ruleOf(alert, labels) =
  local fits(rule) = rule.alert == alert && std.all([
    !std.objectHas(labels, name) || labels[name] == rule.labels[name]
    for name in std.objectFields(rule.labels)
  ]);
  local found = std.filter(fits, rules);
  assert std.length(found) == 1 : 'not one rule of %s: %s' % [alert, labels];
  found[0];

{
  job:: { job: 'oauth2-server' },
  instance:: { job: 'oauth2-server', instance: 'a' },

  // A series of the server, as instance a unless `labels` says otherwise.
  series(name, values, labels={}):: {
    local all = $.instance + labels,
    series: '%s{%s}' % [
      if std.member(['up', 'scrape_samples_scraped'], name) then name else 'oauth2_server_' + name,
      std.join(', ', ['%s="%s"' % [label, all[label]] for label in std.objectFields(all)]),
    ],
    values: values,
  },
  foreign(series, values):: { series: series, values: values },

  silent(at, alert):: { eval_time: at, alertname: alert, exp_alerts: [] },
  // `labels`: a set, or several for several alerts of the name.
  fires(at, alert, labels, value):: {
    eval_time: at,
    alertname: alert,
    exp_alerts: [
      local rule = ruleOf(alert, set);
      local all = set + rule.labels;
      {
        exp_labels: all,
        exp_annotations: { [name]: fill(rule.annotations[name], all, value) for name in std.objectFields(rule.annotations) },
      }
      for set in (if std.isArray(labels) then labels else [labels])
    ],
  },
  test(name, series, cases):: { name: name, interval: '1m', input_series: series, alert_rule_test: cases },
  values(name, series, cases):: {
    name: name,
    interval: '1m',
    input_series: series,
    promql_expr_test: [
      {
        expr: case[1],
        eval_time: case[0],
        exp_samples: [
          {
            labels: '{%s}' % std.join(', ', ['%s="%s"' % [label, sample[0][label]] for label in std.objectFields(sample[0])]),
            value: sample[1],
          }
          for sample in case[2]
        ],
      }
      for case in cases
    ],
  },
  // Recorded series are evaluated only where alerts read them: it takes long.
  file(tests, recorded=false):: {
    rule_files: (if recorded then ['../oauth2-server.rules.yaml'] else []) + ['../oauth2-server.alerts.yaml'],
    evaluation_interval: '1m',
    tests: tests,
  },
}
