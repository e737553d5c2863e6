// A dashboard: its variables, links and annotations, and its rows of panels, which are laid out from left to right.
local query = import 'query.libsonnet';

local width = 24;

// Places the panels one after the other, with a new line where one does not fit, and numbers them.
local place(rows) =
  std.foldl(
    function(state, row)
      local header = {
        type: 'row',
        title: row.title,
        collapsed: false,
        panels: [],
        id: state.id,
        gridPos: { x: 0, y: state.y, w: width, h: 1 },
      };
      local placed = std.foldl(
        function(line, panel)
          local wraps = line.x + panel.gridPos.w > width;
          local x = if wraps then 0 else line.x;
          local y = if wraps then line.y + line.h else line.y;
          {
            x: x + panel.gridPos.w,
            y: y,
            h: if wraps then panel.gridPos.h else std.max(line.h, panel.gridPos.h),
            id: line.id + 1,
            panels: line.panels + [panel { id: line.id, gridPos+: { x: x, y: y } }],
          },
        row.panels,
        { x: 0, y: state.y + 1, h: 0, id: state.id + 1, panels: [] }
      );
      { id: placed.id, y: placed.y + placed.h, panels: state.panels + [header] + placed.panels },
    rows,
    { id: 1, y: 0, panels: [] }
  ).panels;

local labelVariable(name, label, definition) = {
  name: name,
  label: label,
  type: 'query',
  datasource: query.datasource,
  definition: definition,
  query: { qryType: 1, query: definition, refId: 'PrometheusVariableQueryEditor-VariableQuery' },
  refresh: 2,
  regex: '',
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: '.+',
  current: { selected: true, text: ['All'], value: ['$__all'] },
  options: [],
  hide: 0,
  skipUrlSync: false,
};

{
  row(title, panels):: { title: title, panels: panels },
  labelVariable: labelVariable,

  new(config, name, title, description, rows, options={})::
    local c = config.grafana;
    local o = { variables: [], range: c.range } + options;
    {
      id: null,
      uid: 'oauth2-' + name,
      title: c.titlePrefix + title,
      description: description,
      tags: c.tags,
      schemaVersion: 39,
      version: 1,
      editable: false,
      graphTooltip: 1,
      fiscalYearStartMonth: 0,
      liveNow: false,
      weekStart: '',
      timezone: 'browser',
      refresh: c.refresh,
      time: { from: 'now-' + o.range, to: 'now' },
      timepicker: { refresh_intervals: ['5s', '10s', '30s', '1m', '5m', '15m', '30m', '1h'] },
      links: [
        {
          type: 'dashboards',
          title: 'OAuth2 server',
          tags: c.tags,
          asDropdown: true,
          includeVars: true,
          keepTime: true,
          targetBlank: false,
          icon: 'external link',
          tooltip: 'The other dashboards of the server, for the same time and instances',
          url: '',
        },
        {
          type: 'link',
          title: 'Runbooks',
          tags: [],
          asDropdown: false,
          includeVars: false,
          keepTime: false,
          targetBlank: true,
          icon: 'doc',
          tooltip: 'What to do when an alert fires',
          url: config.runbookBaseUrl,
        },
      ],
      annotations: {
        list: [
          {
            builtIn: 1,
            datasource: { type: 'grafana', uid: '-- Grafana --' },
            enable: true,
            hide: true,
            iconColor: 'rgba(0, 211, 255, 1)',
            name: 'Annotations & Alerts',
            type: 'dashboard',
          },
          {
            // The value of the series is the time of the mark. A deployment is a start with another version.
            name: 'Deployments and starts',
            datasource: query.datasource,
            enable: true,
            hide: false,
            iconColor: 'blue',
            expr: '%s * 1000 * on (job, instance) group_left (version) %s' % [
              query.series('oauth2_server_process_start_time_seconds'),
              query.series('oauth2_server_build_info'),
            ],
            step: '60s',
            titleFormat: 'Started {{version}}',
            textFormat: '{{instance}}',
            tagKeys: 'version',
            useValueForTime: 'on',
          },
        ],
      },
      templating: {
        list: [
          {
            name: 'datasource',
            label: 'Data source',
            type: 'datasource',
            query: 'prometheus',
            regex: '',
            refresh: 1,
            multi: false,
            includeAll: false,
            current: { selected: false, text: 'default', value: 'default' },
            options: [],
            hide: 0,
            skipUrlSync: false,
          },
          labelVariable('job', 'Job', 'label_values(oauth2_server_build_info, job)'),
          labelVariable('instance', 'Instance', 'label_values(oauth2_server_build_info{job=~"$job"}, instance)'),
        ] + o.variables,
      },
      panels: place(rows),
    },
}
