local t = import 'lib.libsonnet';
local ok(values) = t.series('http_requests_total', values, { method: 'POST', route: '/oauth/token', status: '2xx' });
local shed(reason, values) = t.series('shed_total', values, { endpoint: 'token', reason: reason });

t.file([
  t.test('the CPUs are busy', [
    t.series('process_cpu_seconds_total', '0+114x60'),
    t.series('process_cpus', '2x60'),
  ], [
    t.silent('10m', 'OAuth2CpuSaturated'),
    t.fires('30m', 'OAuth2CpuSaturated', t.instance, '95%'),
  ]),
  t.test('the CPUs have time', [
    t.series('process_cpu_seconds_total', '0+60x60'),
    t.series('process_cpus', '2x60'),
  ], [t.silent('30m', 'OAuth2CpuSaturated')]),
  t.test('the pool is in use', [
    t.series('db_connections_active', '2x5 10x40'),
    t.series('db_connections_max', '10x50'),
  ], [
    t.silent('8m', 'DatabaseConnectionPoolExhausted'),
    t.fires('25m', 'DatabaseConnectionPoolExhausted', t.instance, '100%'),
  ]),
  t.test('the pool is in use at every second scrape only', [
    t.series('db_connections_active', '10 2 10 2 10 2 10 2 10 2 10 2 10 2 10 2 10 2 10 2 10 2 10 2'),
    t.series('db_connections_max', '10x50'),
  ], [t.silent('20m', 'DatabaseConnectionPoolExhausted')]),
  t.test('mailboxes fill up', [
    t.series('actor_mailbox_depth', '0x5 900x20', { actor: 'store_gateway' }),
    t.series('actor_mailbox_depth', '0x5 4500x20', { actor: 'token_store' }),
  ], [
    t.silent('7m', 'OAuth2MailboxFilling'),
    t.fires('10m', 'OAuth2MailboxFilling', t.instance { actor: 'store_gateway' }, '900')
    + { exp_alerts+: t.fires('10m', 'OAuth2MailboxFilling', t.instance { actor: 'token_store' }, '4500').exp_alerts },
  ]),
  t.test('a depth that fills other mailboxes is usual for the token store', [
    t.series('actor_mailbox_depth', '1000x30', { actor: 'token_store' }),
    t.series('actor_mailbox_depth', '100x30', { actor: 'store_gateway' }),
  ], [t.silent('20m', 'OAuth2MailboxFilling')]),
  t.test('5 % of the requests are shed', [
    ok('0+100x40'),
    shed('full', '0+5x40'),
    shed('deadline', '0+0x40'),
    shed('stopped', '0+50x40'),
    t.series('deadlines_missed_total', '0+5x40', { endpoint: 'token' }),
    t.series('deadlines_missed_total', '0+90x40', { endpoint: 'admin' }),
  ], [
    t.fires('20m', 'OAuth2Shedding', t.job { reason: 'full' }, '5%'),
    t.fires('20m', 'OAuth2DeadlinesMissed', t.job, '5%'),
  ]),
  t.test('single requests are shed', [
    ok('0+1000x40'),
    shed('full', '0+1x40'),
    t.series('deadlines_missed_total', '0+1x40', { endpoint: 'token' }),
  ], [
    t.silent('20m', 'OAuth2Shedding'),
    t.silent('20m', 'OAuth2DeadlinesMissed'),
  ]),
  t.test('file descriptors run out', [
    t.series('process_open_fds', '100x5 900x30'),
    t.series('process_max_fds', '1024x40'),
  ], [
    t.silent('4m', 'OAuth2FileDescriptorsHigh'),
    t.fires('20m', 'OAuth2FileDescriptorsHigh', t.instance, '87.89%'),
  ]),
  t.test('too many series', [t.series('scrape_samples_scraped', '600x5 1500x40')], [
    t.silent('10m', 'OAuth2CardinalityOverflow'),
    t.fires('30m', 'OAuth2CardinalityOverflow', t.instance, '1500'),
  ]),
  t.test('a counter overflowed', [
    t.series('scrape_samples_scraped', '600x50'),
    t.series('http_requests_total', '1x50', { otel_metric_overflow: 'true' }),
  ], [t.fires('30m', 'OAuth2CardinalityOverflow', t.instance, '1')]),
  t.test('the usual number of series', [t.series('scrape_samples_scraped', '800x50')], [t.silent('30m', 'OAuth2CardinalityOverflow')]),
])
