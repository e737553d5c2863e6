// An alert: what every one of them has. `value` is a Prometheus template of the description's number; `variables` are labels that the
// dashboard link passes on. `{{ $labels.job }}` in a text becomes the labels of the deployment.
function(c)
  function(name, severity, expr, summary, description, dashboard='overview', after='0m', labels={}, variables=c.groupLabels)
    local link = '%s/%s' % [c.dashboardBaseUrl, c.dashboards[dashboard]];
    local query = std.join('&', ['var-%s={{ $labels.%s }}' % [label, label] for label in variables]);
    {
      alert: name,
      expr: expr,
      [if after != '0m' then 'for']: c.duration(after),
      labels: { severity: c.severities[severity] } + c.alertLabels + labels,
      annotations: {
        summary: summary,
        description: std.strReplace(
          description,
          '{{ $labels.job }}',
          std.join('/', ['{{ $labels.%s }}' % label for label in c.groupLabels])
        ),
        dashboard_url: if query == '' then link else link + '?' + query,
        runbook_url: '%s/%s.md' % [c.runbookBaseUrl, name],
      },
    }
