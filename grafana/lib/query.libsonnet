// Targets of panels, and the selectors in them.
local datasource = { type: 'prometheus', uid: '${datasource}' };
{
  datasource: datasource,

  // The series of the server that the template variables choose; `extra` narrows them.
  series(metric, extra=''):: '%s{job=~"$job", instance=~"$instance"%s}' % [metric, if extra == '' then '' else ', ' + extra],
  // A recorded series. Recording rules aggregate the instances of a job.
  recorded(metric, extra=''):: '%s{job=~"$job"%s}' % [metric, if extra == '' then '' else ', ' + extra],

  by(labels):: if labels == '' then '' else ' by (%s)' % labels,
  // Per-second rate of a counter, summed.
  rate(metric, labels='', extra='')::
    'sum%s (rate(%s[$__rate_interval]))' % [self.by(labels), self.series(metric, extra)],
  // Events in the dashboard's time range.
  inRange(metric, labels='', extra='')::
    'sum%s (increase(%s[$__range]))' % [self.by(labels), self.series(metric, extra)],
  sum(metric, labels='', extra=''):: 'sum%s (%s)' % [self.by(labels), self.series(metric, extra)],
  max(metric, labels='', extra=''):: 'max%s (%s)' % [self.by(labels), self.series(metric, extra)],
  min(metric, labels='', extra=''):: 'min%s (%s)' % [self.by(labels), self.series(metric, extra)],
  quantile(q, metric, labels='', extra='')::
    'histogram_quantile(%s, %s)' % [q, self.rate(metric + '_bucket', if labels == '' then 'le' else 'le, ' + labels, extra)],
  // Mean of a histogram's observations.
  mean(metric, labels='', extra='')::
    '%s / %s' % [self.rate(metric + '_sum', labels, extra), self.rate(metric + '_count', labels, extra)],

  target(expr, legend='', options={}):: {
    datasource: datasource,
    editorMode: 'code',
    expr: expr,
    legendFormat: legend,
    range: true,
    refId: 'A',
  } + options,
  // A query at the end of the time range only, as a table or a list of values.
  instant(expr, legend='', format='time_series'):: self.target(expr, legend, { instant: true, range: false, format: format }),
  heatmap(metric, extra=''):: self.target(self.rate(metric + '_bucket', 'le', extra), '{{le}}', { format: 'heatmap' }),
  // The lines p50, p95 and p99 of a histogram.
  percentiles(metric, extra=''):: [
    self.target(self.quantile(q, metric, '', extra), 'p' + std.substr(q, 2, 2))
    for q in ['0.50', '0.95', '0.99']
  ],
}
