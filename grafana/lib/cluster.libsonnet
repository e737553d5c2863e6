// A dashboard with one more variable, for fleets whose Prometheus has several clusters: label, such as cluster, in every selector.
local labelVariable = (import 'dashboard.libsonnet').labelVariable;

function(dashboard, label)
  local narrow(expr) = std.strReplace(expr, 'job=~"$job"', '%s=~"$%s", job=~"$job"' % [label, label]);
  local variable = labelVariable(label, std.asciiUpper(label[0]) + label[1:], 'label_values(oauth2_server_build_info, %s)' % label);
  local narrowQuery(old) =
    local query = if old.name == 'job' then 'label_values(oauth2_server_build_info{%s=~"$%s"}, job)' % [label, label] else narrow(old.definition);
    old { definition: query, query+: { query: query } };
  local variables = dashboard.templating.list;

  dashboard {
    panels: [
      if std.objectHas(panel, 'targets')
      then panel { targets: [target { expr: narrow(super.expr) } for target in super.targets] }
      else panel
      for panel in super.panels
    ],
    annotations+: { list: [if std.objectHas(each, 'expr') then each {
      expr: std.strReplace(narrow(super.expr), 'on (job, instance)', 'on (%s, job, instance)' % label),
    } else each for each in super.list] },
    templating: {
      list: [variables[0], variable] + [if each.type == 'query' then narrowQuery(each) else each for each in variables[1:]],
    },
  }
