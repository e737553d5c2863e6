// What differs between fleets. Override any of it: (import 'mixin.libsonnet') + { _config+:: { selector: 'job="auth"' } }.
{
  _config+:: {
    local c = self,

    // Which series belong to the server. Appears in every selector.
    selector: 'job="oauth2-server"',
    // Labels that distinguish deployments. Rules aggregate by them: a fleet of clusters adds 'cluster'.
    groupLabels: ['job'],

    objectives: import 'objectives.libsonnet',

    runbookBaseUrl: 'https://github.com/oauth2-server/oauth2-server/blob/main/docs/runbooks',
    dashboardBaseUrl: 'http://grafana.example/d',
    dashboards: {
      overview: 'oauth2-overview',
      issuance: 'oauth2-issuance',
      store: 'oauth2-store',
      slo: 'oauth2-slo',
      abuse: 'oauth2-abuse',
    },

    // Added to every alert.
    alertLabels: { service: 'oauth2-server' },
    // `page` wakes a person, `ticket` is work for the day, `info` is only shown.
    severities: { page: 'critical', ticket: 'warning', info: 'info', none: 'none' },
    // Leave the Watchdog out where the cluster has one already.
    watchdog: true,

    // Postgres: the file system with its data, by node_exporter; alerts on it are silent without that exporter.
    databaseDiskSelector: 'job="node", mountpoint="/var/lib/postgresql"',
    // Backups by deploy/backup, whose files the textfile collector of node_exporter reads; the alert on their age is silent without it.
    backupSelector: 'job="node"',
    // Postgres: storage that the provider allows, in bytes, and how postgres_exporter names the database. null: no such rule.
    databaseSizeLimit: null,
    databaseSizeSelector: 'job="postgres", datname="oauth2"',

    thresholds: {
      // Failures within the long window below which no burn rate pages: one failure of ten requests is not an outage.
      pageErrors: 10,
      cpuRatio: 0.9,
      poolRatio: 0.9,
      // Mailboxes hold 1024 messages, those of a token store 5000.
      mailboxDepth: 800,
      tokenStoreMailboxDepth: 4000,
      shedRatio: 0.01,
      deadlineRatio: 0.01,
      // Connections to addresses of an earlier lookup. One lost response of a name server is no fault.
      staleNames: 2,
      commitSeconds: 0.25,
      fileDescriptorRatio: 0.8,
      series: 1000,
      authFailuresPerSecond: 1,
      // Secrets of imported clients per second that could not be verified in time.
      foreignHashesShedPerSecond: 0.5,
      authFailureRatio: 0.1,
      rateLimitedPerSecond: 1,
      rateLimitedRatio: 0.1,
      revocationsPerSecond: 10,
      revocationRatio: 0.5,
      trafficPerSecond: 0.1,
      // Seconds after the configured rotation period. A new key is published for some minutes before it signs.
      keyOverdueSeconds: 3600,
      certificateSeconds: 14 * 86400,
      certificateSecondsPage: 2 * 86400,
      purgeRows: 50000,
      maintenanceAgeSeconds: 900,
      auditBacklog: 5,
      revocationLagSeconds: 3,
      clockSkewSeconds: 5,
      diskFreeRatio: 0.15,
      diskFreeRatioPage: 0.05,
      restartsInLoop: 3,
      // Of each kind of backup: its period in deploy/backup/systemd, and some time to make it.
      backupAgeSeconds: { base: 8 * 86400, postgres: 26 * 3600, sqlite: 2 * 3600 },
    },

    // Shortens every window, `for` and forecast, so that a test sees the same rules within seconds: 60 makes a minute of an hour.
    timeScale: 1,
    // Longest and shortest window after that, in seconds.
    longestWindow: null,
    shortestWindow: 0,

    // Seconds of a nominal duration such as '5m', after scaling.
    seconds(nominal)::
      local units = { s: 1, m: 60, h: 3600, d: 86400 };
      local last = std.length(nominal) - 1;
      local scaled = std.parseInt(nominal[:last]) * units[nominal[last:]] / c.timeScale;
      local short = if c.longestWindow == null then scaled else std.min(scaled, c.longestWindow);
      std.max(short, c.shortestWindow),
    // The same as Prometheus writes it.
    duration(nominal)::
      if c.timeScale == 1 && c.longestWindow == null then nominal
      else '%dms' % std.round(c.seconds(nominal) * 1000),

    // Lists of labels for `by (...)`.
    by(extra=[]):: 'by (%s)' % std.join(', ', c.groupLabels + extra),
    on(extra=[]):: 'on (%s)' % std.join(', ', c.groupLabels + extra),
    level(extra=[]):: std.join('_', c.groupLabels + extra),
    // The time of the last success of a kind of backup.
    backup(kind):: 'oauth2_backup_last_success_timestamp_seconds{%s, kind="%s"}' % [c.backupSelector, kind],
    // A selector: the fleet's and another one.
    select(extra=''):: if extra == '' then c.selector else c.selector + ', ' + extra,
    // The routes of the endpoints that have objectives.
    endpointRoutes:: std.join('|', [c.objectives[name].routes for name in std.objectFields(c.objectives)]),
  },
}
