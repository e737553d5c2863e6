// Actors and store: where requests wait, what restarts, and how the database does.
local colors = import '../lib/colors.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local panel = import '../lib/panel.libsonnet';
local query = import '../lib/query.libsonnet';

local wait = 'oauth2_server_actor_mailbox_wait_seconds';
local commit = 'oauth2_server_token_commit_duration_seconds';
local upDown = [
  {
    type: 'value',
    options: {
      '0': { text: 'no', color: colors.bad, index: 0 },
      '1': { text: 'yes', color: colors.good, index: 1 },
    },
  },
];

function(config, name)
  local thresholds = config.thresholds;
  local pool = 'max(%s / %s)' % [query.series('oauth2_server_db_connections_active'), query.series('oauth2_server_db_connections_max')];

  local tiles = [
    panel.stat(
      'Restarts in this range',
      'Restarts of actors, and attempts, in the time range of the dashboard.',
      [query.instant(query.inRange('oauth2_server_actor_restarts_total'), 'restarts')],
      'short',
      { graph: false, decimals: 0, thresholds: [[null, colors.good], [0.5, colors.warning], [thresholds.restartsInLoop, colors.bad]] }
    ),
    panel.stat(
      'Deepest mailbox',
      'Messages queued or in flight in the fullest mailbox. Mailboxes hold 1024 messages, those of a token store 5000.',
      [query.target(query.max('oauth2_server_actor_mailbox_depth'), 'messages')],
      'short',
      { thresholds: [[null, colors.good], [thresholds.mailboxDepth / 2, colors.warning], [thresholds.mailboxDepth, colors.bad]] }
    ),
    panel.stat(
      'Messages shed now',
      'Messages to actors per second that got no reply: the mailbox was full, the deadline passed, or the actor crashed.',
      [query.target(query.rate('oauth2_server_actor_sheds_total'), 'shed')],
      'ops',
      { thresholds: [[null, colors.good], [0.01, colors.warning], [1, colors.bad]] }
    ),
    panel.stat(
      'Connections in use',
      'Share of the allowed store connections that are in use, on the busiest instance.',
      [query.target(pool, 'in use')],
      'percentunit',
      { decimals: 0, max: 1, thresholds: [[null, colors.good], [0.7, colors.warning], [thresholds.poolRatio, colors.bad]] }
    ),
    panel.stat(
      'Commit p99',
      'Time within which 99 % of the commits of token rows were done.',
      [query.target(query.quantile('0.99', commit), 'p99')],
      's',
      { thresholds: [[null, colors.good], [thresholds.commitSeconds / 2, colors.warning], [thresholds.commitSeconds, colors.bad]] }
    ),
    panel.stat(
      'Store errors',
      'Errors of the store per second, of all classes but conflict: those are rejected requests to the admin API.',
      [query.target(query.rate('oauth2_server_store_errors_total', '', 'class!="conflict"'), 'errors')],
      'ops',
      { thresholds: [[null, colors.good], [0.01, colors.warning], [1, colors.bad]] }
    ),
  ];

  local actors = [
    panel.timeseries(
      'Mailbox depth',
      'Messages queued or in flight, by actor, in the fullest instance.',
      [query.target(query.max('oauth2_server_actor_mailbox_depth', 'actor'), '{{actor}}')],
      'short',
      { overrides: panel.colored(panel.actors) }
    ),
    panel.timeseries(
      'Mailbox wait, p99',
      'Time within which 99 % of the messages were taken out of the mailbox, by actor.',
      [query.target(query.quantile('0.99', wait, 'actor'), '{{actor}}')],
      's',
      { overrides: panel.colored(panel.actors) }
    ),
    panel.heatmap(
      'Mailbox wait of the token stores',
      'Messages per second to the token stores, by the time that they waited in the mailbox: token requests wait for the commit before them.',
      wait,
      's',
      { w: 8, extra: 'actor="token_store"', scheme: 'Greens' }
    ),
    panel.timeseries(
      'Messages shed',
      'Messages per second without a reply, by actor and reason: full, deadline or crashed.',
      [query.target(query.rate('oauth2_server_actor_sheds_total', 'actor, reason'), '{{actor}} {{reason}}')],
      'ops',
      { w: 8, hideZero: true }
    ),
    panel.timeseries(
      'Actor restarts',
      'Restarts of the actor, and attempts, per second.',
      [query.target(query.rate('oauth2_server_actor_restarts_total', 'actor'), '{{actor}}')],
      'ops',
      { w: 8, hideZero: true, overrides: panel.colored(panel.actors) }
    ),
  ];

  local store = [
    panel.states(
      'Store confirms reads and accepts writes',
      'up: clients and revocations were confirmed within the last 2 s. writable: no full disk, read-only database or missing privilege. replica: reads go to the read replica, if there is one.',
      [
        query.target('min(%s)' % query.series('oauth2_server_store_up'), 'up'),
        query.target('min(%s)' % query.series('oauth2_server_store_writable'), 'writable'),
        query.target('min(%s)' % query.series('oauth2_server_db_replica_in_use'), 'replica'),
      ],
      upDown,
      { w: 8, h: 8 }
    ),
    panel.timeseries(
      'Connections',
      'Store connections in use, open and allowed, of all instances. On SQLite its three threads.',
      [
        query.target(query.sum('oauth2_server_db_connections_active'), 'active'),
        query.target(query.sum('oauth2_server_db_connections_open'), 'open'),
        query.target(query.sum('oauth2_server_db_connections_max'), 'allowed'),
      ],
      'short',
      { w: 8, overrides: [panel.dashed('allowed', colors.bad)] }
    ),
    panel.timeseries(
      'Name of the database not resolved',
      'Connections per second for which the last known addresses were used, because the host name was not resolved.',
      [query.target(query.rate('oauth2_server_db_dns_stale_total', 'instance'), '{{instance}}')],
      'ops',
      { w: 8, hideZero: true }
    ),
    panel.timeseries(
      'Store errors by class',
      'Errors of the store per second, by class. conflict: requests to the admin API that were answered with 409.',
      [query.target(query.rate('oauth2_server_store_errors_total', 'class'), '{{class}}')],
      'ops',
      { w: 8, hideZero: true, overrides: panel.colored(panel.storeErrors) }
    ),
    panel.timeseries(
      'Commit duration',
      'Time that a commit of token rows took, failed commits included.',
      query.percentiles(commit),
      's',
      { w: 8, line: { value: thresholds.commitSeconds, color: colors.bad } }
    ),
    panel.timeseries(
      'Age of the revocations in memory',
      'Time since the published revocations last agreed with the store. Above 5 s the token and introspection endpoints answer 503.',
      [query.target(query.max('oauth2_server_revocation_lag_seconds', 'instance'), '{{instance}}')],
      's',
      { w: 8, line: { value: thresholds.revocationLagSeconds, color: colors.bad } }
    ),
    panel.timeseries(
      'Nodes on the bus',
      'Nodes that each instance hears, itself included, and whether its own messages arrive (1). Not exported on SQLite.',
      [
        query.target(query.min('oauth2_server_bus_nodes', 'instance'), '{{instance}}'),
        query.target(query.min('oauth2_server_bus_up'), 'arrive'),
      ],
      'short',
      { w: 8 }
    ),
    panel.timeseries(
      'Messages dropped by the bus',
      'Per second, by reason. forged: another issuer with the same prefix, or a stranger. Not exported on SQLite.',
      [query.target(query.rate('oauth2_server_bus_messages_dropped_total', 'reason'), '{{reason}}')],
      'ops',
      { w: 8, hideZero: true }
    ),
    panel.timeseries(
      'Reads by server',
      'Introspection of opaque tokens and lists, per second, by the server of the database that answered. Only with a read replica.',
      [query.target(query.rate('oauth2_server_db_reads_total', 'server'), '{{server}}')],
      'ops',
      { w: 8 }
    ),
    panel.timeseries(
      'Reads that left the replica',
      'Reads per second for which the primary was asked although there is a replica, by reason. missing: tokens that are newer than what it has. Only with a read replica.',
      [query.target(query.rate('oauth2_server_db_read_fallbacks_total', 'reason'), '{{reason}}')],
      'ops',
      { w: 8, hideZero: true }
    ),
    panel.timeseries(
      'Replica lag',
      'Time of whose changes the replica may miss some. Only with a read replica.',
      [query.target(query.max('oauth2_server_db_replica_lag_seconds', 'instance'), '{{instance}}')],
      's',
      { w: 8 }
    ),
    panel.timeseries(
      'Clock against the store',
      'By how much the clock of the store is ahead of that of the machine. Beyond 30 s the instance is not ready. Token ids ahead: after the clock was set back.',
      [
        query.target(query.max('oauth2_server_clock_difference_seconds', 'instance'), '{{instance}}'),
        query.target(query.max('oauth2_server_token_ids_ahead_seconds'), 'token ids ahead'),
      ],
      's',
      { w: 8, min: null, line: { value: thresholds.clockSkewSeconds, color: colors.bad } }
    ),
  ];

  local sqlite = [
    panel.timeseries(
      'Disk of the embedded store',
      'Size of the file system with the SQLite database, and how much of it is free. Not exported on Postgres.',
      [
        query.target(query.min('oauth2_server_store_disk_free_bytes', 'instance'), '{{instance}} free'),
        query.target(query.min('oauth2_server_store_disk_size_bytes', 'instance'), '{{instance}} size'),
      ],
      'bytes',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Write-ahead log of SQLite',
      'Size of the write-ahead log. Checkpoints reset it: a steady rise means that they do not finish.',
      [query.target(query.max('oauth2_server_sqlite_wal_bytes', 'instance'), '{{instance}}')],
      'bytes',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Checkpoints of SQLite',
      'Checkpoints of the write-ahead log per second, by outcome.',
      [query.target(query.rate('oauth2_server_sqlite_checkpoints_total', 'outcome'), '{{outcome}}')],
      'ops',
      { w: 8, h: 7, overrides: panel.colored(['done', 'failed']) }
    ),
  ];

  local ledger = [
    panel.timeseries(
      'Partitions ahead',
      'Partitions of the token ledger for times after now, and how many the maintenance wants. 0 on SQLite.',
      [
        // Instances on SQLite need none.
        query.target(
          'min(%s and %s > 0) or %s' % [
            query.series('oauth2_server_token_partitions_ahead'),
            query.series('oauth2_server_token_partitions_needed'),
            query.max('oauth2_server_token_partitions_ahead'),
          ], 'ahead'
        ),
        query.target(query.max('oauth2_server_token_partitions_needed'), 'needed'),
      ],
      'short',
      { w: 6, h: 7, calcs: ['lastNotNull'], overrides: [panel.dashed('needed', colors.bad)] }
    ),
    panel.timeseries(
      'Partitions',
      'Partitions of the token ledger without the default one, and rows in the default one: above 0 the creation of partitions fell behind. 0 on SQLite.',
      [
        query.target(query.max('oauth2_server_token_partitions'), 'partitions'),
        query.target(query.max('oauth2_server_token_default_partition_rows'), 'rows in the default partition'),
      ],
      'short',
      { w: 6, h: 7, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Rows to purge',
      'Expired token rows that are not purged yet, counted up to 100 000.',
      [query.target(query.max('oauth2_server_purge_rows_waiting'), 'rows')],
      'short',
      { w: 6, h: 7, line: { value: thresholds.purgeRows, color: colors.bad } }
    ),
    panel.timeseries(
      'Time since maintenance',
      'Time since the maintenance of the ledger (partitions, purge) last succeeded, on the instance where it is longest ago.',
      [query.target('time() - min(%s > 0)' % query.series('oauth2_server_maintenance_last_success_timestamp_seconds'), 'since success')],
      's',
      { w: 6, h: 7, line: { value: thresholds.maintenanceAgeSeconds, color: colors.bad } }
    ),
  ];

  local background = [
    panel.timeseries(
      'Audit rows to write',
      'Audit rows in memory that are not written yet.',
      [query.target(query.sum('oauth2_server_audit_backlog', 'instance'), '{{instance}}')],
      'short',
      { w: 8, h: 7, line: { value: thresholds.auditBacklog, color: colors.bad } }
    ),
    panel.timeseries(
      'Quota saves',
      'Saves of quota usage per second, by outcome. When they fail for a second, clients with an enforced quota get 503.',
      [query.target(query.rate('oauth2_server_quota_saves_total', 'outcome'), '{{outcome}}')],
      'ops',
      { w: 8, h: 7, overrides: panel.colored(['done', 'failed']) }
    ),
    panel.timeseries(
      'Duration of quota saves',
      'Time that a save of quota usage took.',
      query.percentiles('oauth2_server_quota_save_duration_seconds'),
      's',
      { w: 8, h: 7 }
    ),
    panel.timeseries(
      'Clients',
      'Registered clients.',
      [query.target(query.max('oauth2_server_clients'), 'clients')],
      'short',
      { w: 6, h: 6, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Revocations in memory',
      'Revoked token ids and revocation cut-offs in memory, without the cut-off of the issuer.',
      [query.target(query.max('oauth2_server_revocations_held', 'instance'), '{{instance}}')],
      'short',
      { w: 6, h: 6, calcs: ['lastNotNull'] }
    ),
    panel.timeseries(
      'Cut-offs ahead of new tokens',
      'Revocation cut-offs that are later than the ids of new tokens, and therefore revoke new tokens. "oauth2_server token cutoffs" lists them.',
      [query.target(query.max('oauth2_server_cutoffs_ahead'), 'cut-offs')],
      'short',
      { w: 6, h: 6, calcs: ['lastNotNull'], line: { value: 1, color: colors.bad } }
    ),
    panel.timeseries(
      'Steps of the clock',
      'How often the clock of the store was set by more than a second, per point of the graph.',
      [query.target('sum by (instance) (increase(%s[$__rate_interval]))' % query.series('oauth2_server_clock_steps_total'), '{{instance}}')],
      'short',
      { w: 6, h: 6, calcs: ['lastNotNull'] }
    ),
  ];

  dashboard.new(
    config,
    name,
    'Actors and store',
    'Mailboxes and restarts of the actors, connections, commits and errors of the store, the ledger, and work in the background.',
    [
      dashboard.row('Now', tiles),
      dashboard.row('Actors', actors),
      dashboard.row('Store', store),
      dashboard.row('SQLite', sqlite),
      dashboard.row('Token ledger', ledger),
      dashboard.row('Background', background),
    ]
  )
