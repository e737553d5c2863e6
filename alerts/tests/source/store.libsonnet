local t = import 'lib.libsonnet';
local postgres = { store: 'postgres' };
local commits(le, values) = t.series('token_commit_duration_seconds_bucket', values, postgres { le: le });
local node(name, values) = t.foreign('node_filesystem_%s{job="node", instance="db", mountpoint="/var/lib/postgresql", device="sda"}' % name, values);
local backup(kind, values) = t.foreign('oauth2_backup_last_success_timestamp_seconds{job="node", instance="db", kind="%s"}' % kind, values);
local backupLabels(kind) = { job: 'node', instance: 'db', kind: kind };
local nodeLabels = { job: 'node', instance: 'db', mountpoint: '/var/lib/postgresql', device: 'sda' };

t.file([
  t.test('the store is unreachable', [
    t.series('store_up', '1x5 0x20'),
    t.series('store_writable', '1x5 0x20'),
  ], [
    t.silent('5m', 'OAuth2StoreUnavailable'),
    t.fires('8m', 'OAuth2StoreUnavailable', t.instance, '0'),
    t.silent('8m', 'OAuth2StoreNotWritable'),
  ]),
  t.test('the store accepts no writes', [
    t.series('store_up', '1x30'),
    t.series('store_writable', '1x5 0x20'),
  ], [
    t.silent('5m', 'OAuth2StoreNotWritable'),
    t.fires('8m', 'OAuth2StoreNotWritable', t.instance, '0'),
    t.silent('8m', 'OAuth2StoreUnavailable'),
  ]),
  t.test('rows are corrupt', [
    t.series('store_errors_total', '0x5 3x40', { class: 'corrupt' }),
  ], [
    t.fires('10m', 'OAuth2StoreCorrupt', t.instance { class: 'corrupt' }, '3'),
    t.silent('30m', 'OAuth2StoreCorrupt'),
  ]),
  t.test('the name of the database is not resolved', [t.series('db_dns_stale_total', '0x5 9x40')], [
    t.fires('10m', 'OAuth2StoreNameUnresolved', t.instance, '9'),
    t.silent('30m', 'OAuth2StoreNameUnresolved'),
  ]),
  t.test('a response of a name server is lost', [t.series('db_dns_stale_total', '0x5 2x40')], [t.silent('10m', 'OAuth2StoreNameUnresolved')]),
  t.test('errors of other classes', [t.series('store_errors_total', '0+5x40', { class: 'conflict' })], [t.silent('20m', 'OAuth2StoreCorrupt')]),
  t.test('commits are slow', [
    commits('0.25', '0+0x40'),
    commits('0.5', '0+60x40'),
    commits('+Inf', '0+60x40'),
  ], [t.fires('20m', 'OAuth2CommitSlow', t.job + postgres, '497.5ms')]),
  t.test('commits are quick, or there are none', [
    commits('0.25', '0+60x20 1200+0x40'),
    commits('0.5', '0+60x20 1200+0x40'),
    commits('+Inf', '0+60x20 1200+0x40'),
  ], [t.silent('18m', 'OAuth2CommitSlow'), t.silent('50m', 'OAuth2CommitSlow')]),
  t.test('partitions are missing', [
    t.series('token_partitions_ahead', '3x5 1x60'),
    t.series('token_partitions_needed', '3x65'),
    t.series('token_default_partition_rows', '0x5 12x60'),
  ], [
    t.silent('18m', 'OAuth2PartitionsMissing'),
    t.fires('30m', 'OAuth2PartitionsMissing', t.job, '1'),
    t.silent('10m', 'OAuth2DefaultPartitionRows'),
    t.fires('30m', 'OAuth2DefaultPartitionRows', t.job, '12'),
  ]),
  t.test('partitions on SQLite, or all there', [
    t.series('token_partitions_ahead', '0x60'),
    t.series('token_partitions_needed', '0x60'),
    t.series('token_default_partition_rows', '0x60'),
  ], [t.silent('50m', 'OAuth2PartitionsMissing'), t.silent('50m', 'OAuth2DefaultPartitionRows')]),
  t.test('expired rows wait', [t.series('purge_rows_waiting', '10x5 80000x60')], [
    t.silent('30m', 'OAuth2PurgeBehind'),
    t.fires('50m', 'OAuth2PurgeBehind', t.job, '80000'),
  ]),
  t.test('expired rows are purged', [t.series('purge_rows_waiting', '49000x10 100x60')], [t.silent('50m', 'OAuth2PurgeBehind')]),
  t.test('maintenance stopped', [
    t.series('maintenance_last_success_timestamp_seconds', '0+60x10 600x40'),
    t.series('maintenance_last_success_timestamp_seconds', '0x60', { instance: 'b' }),
  ], [
    t.silent('25m', 'OAuth2MaintenanceStale'),
    t.fires('40m', 'OAuth2MaintenanceStale', t.job, '30m 0s'),
  ]),
  t.test('one instance does the maintenance', [
    t.series('maintenance_last_success_timestamp_seconds', '0+60x60'),
    t.series('maintenance_last_success_timestamp_seconds', '0x60', { instance: 'b' }),
  ], [t.silent('40m', 'OAuth2MaintenanceStale')]),
  t.test('the disk fills up', [
    t.series('store_disk_free_bytes', '200-1x180'),
    t.series('store_disk_size_bytes', '1000x180'),
  ], [
    t.silent('40m', 'OAuth2StoreDiskFilling'),
    t.fires('100m', 'OAuth2StoreDiskFilling', t.instance, '10%'),
    t.silent('100m', 'OAuth2StoreDiskFull'),
    t.fires('170m', 'OAuth2StoreDiskFull', t.instance, '3%'),
  ]),
  t.test('the disk is small, and stays as it is', [
    t.series('store_disk_free_bytes', '100x180'),
    t.series('store_disk_size_bytes', '1000x180'),
    node('avail_bytes', '100x180'),
    node('size_bytes', '1000x180'),
  ], [t.silent('170m', alert) for alert in ['OAuth2StoreDiskFilling', 'OAuth2StoreDiskFull', 'OAuth2DatabaseDiskFilling']]),
  t.test('the disk of Postgres fills up', [
    node('avail_bytes', '200-1x180'),
    node('size_bytes', '1000x180'),
  ], [t.fires('100m', 'OAuth2DatabaseDiskFilling', nodeLabels, '10%')]),
  t.test('the disk of Postgres is nearly full', [
    node('avail_bytes', '40x60'),
    node('size_bytes', '1000x60'),
  ], [t.fires('30m', 'OAuth2DatabaseDiskFilling', nodeLabels, '4%')]),
  t.test('backups are made', [
    backup('postgres', std.join(' ', ['%dx1439' % (day * 86400) for day in std.range(0, 2)])),
    backup('base', '0x4000'),
  ], [t.silent('60h', 'OAuth2BackupOld')]),
  t.test('a dump is not made', [backup('postgres', '0x1700'), backup('base', '0x1700')], [
    t.silent('26h10m', 'OAuth2BackupOld'),
    t.fires('27h', 'OAuth2BackupOld', backupLabels('postgres'), '1d 3h 0m 0s'),
  ]),
  t.test('the copy of SQLite is not made', [backup('sqlite', '0x300')], [
    t.silent('2h5m', 'OAuth2BackupOld'),
    t.fires('3h', 'OAuth2BackupOld', backupLabels('sqlite'), '3h 0m 0s'),
  ]),
  t.test('the base backup is not made', [backup('base', '0x12000')], [
    t.silent('191h', 'OAuth2BackupOld'),
    t.fires('193h', 'OAuth2BackupOld', backupLabels('base'), '8d 1h 0m 0s'),
  ]),
  t.test('the replica is not read from', [t.series('db_replica_in_use', '1x5 0x20')], [
    t.silent('9m', 'OAuth2ReplicaUnused'),
    t.fires('12m', 'OAuth2ReplicaUnused', t.instance, '0'),
  ]),
  t.test('the replica catches up', [t.series('db_replica_in_use', '1x5 0x3 1x20')], [
    t.silent('10m', 'OAuth2ReplicaUnused'),
    t.silent('20m', 'OAuth2ReplicaUnused'),
  ]),
])
