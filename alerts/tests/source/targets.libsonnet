local public = { listener: 'public' };
local t = import 'lib.libsonnet';
local b = { instance: 'b' };
local requests(values) = t.series('http_requests_total', values, { method: 'POST', route: '/oauth/token', status: '2xx' });

t.file([
  t.test('one of two instances is down', [
    t.series('up', '1 1 0x20'),
    t.series('up', '1x20', b),
  ], [
    t.silent('3m', 'OAuth2TargetDown'),
    t.fires('5m', 'OAuth2TargetDown', t.instance, '0'),
    t.silent('5m', 'OAuth2TargetAbsent'),
  ]),
  t.test('every instance is down', [
    t.series('up', '1 1 0x20'),
    t.series('up', '1 1 0x20', b),
  ], [
    t.fires('5m', 'OAuth2TargetAbsent', t.job, '0'),
    t.fires('5m', 'OAuth2TargetDown', [t.instance, t.instance + b], '0'),
  ]),
  t.test('no target at all', [t.foreign('up{job="other"}', '1x20')], [
    t.fires('5m', 'OAuth2TargetAbsent', t.job, '1'),
    t.silent('5m', 'OAuth2TargetDown'),
    t.fires('5m', 'Watchdog', {}, '1'),
  ]),
  t.test('all instances are up', [
    t.series('up', '1x20'),
    t.series('ready', '1x20'),
    t.series('process_start_time_seconds', '1700000000x20'),
  ], [
    t.silent('15m', alert)
    for alert in ['OAuth2TargetDown', 'OAuth2TargetAbsent', 'OAuth2NotReady', 'OAuth2NoInstanceReady', 'OAuth2ProcessCrashLoop']
  ]),
  t.test('one of two instances is not ready', [
    t.series('ready', '1 1 0x20'),
    t.series('ready', '1x20', b),
  ], [
    t.silent('6m', 'OAuth2NotReady'),
    t.fires('8m', 'OAuth2NotReady', t.instance, '0'),
    t.silent('8m', 'OAuth2NoInstanceReady'),
  ]),
  t.test('no instance is ready', [
    t.series('ready', '1 1 0x20'),
    t.series('ready', '0x20', b),
  ], [t.fires('4m', 'OAuth2NoInstanceReady', t.job, '0')]),
  t.test('a certificate expires in eleven days', [
    t.series('tls_certificate_expiry_timestamp_seconds', '1000000x30', public),
  ], [
    t.silent('4m', 'OAuth2CertificateExpiring'),
    t.fires('10m', 'OAuth2CertificateExpiring', t.instance + public, '11d 13h 36m 40s'),
    t.silent('10m', 'OAuth2CertificateExpiresNow'),
  ]),
  t.test('a certificate expires tomorrow', [
    t.series('tls_certificate_expiry_timestamp_seconds', '100000x30', public),
  ], [t.fires('10m', 'OAuth2CertificateExpiresNow', t.instance + public, '1d 3h 36m 40s')]),
  t.test('a certificate is renewed', [
    t.series('tls_certificate_expiry_timestamp_seconds', '1000000x3 9000000x30', public),
    t.series('tls_files_current', '1x5 0x2 1x30', public),
  ], [
    t.silent('15m', alert)
    for alert in ['OAuth2CertificateExpiring', 'OAuth2CertificateExpiresNow', 'OAuth2CertificateNotRenewed']
  ]),
  t.test('the files of a certificate do not match', [t.series('tls_files_current', '1x5 0x30', public)], [
    t.silent('8m', 'OAuth2CertificateNotRenewed'),
    t.fires('15m', 'OAuth2CertificateNotRenewed', t.instance + public, '0'),
  ]),
  t.test('requests stop', [requests('0+60x90 5400+0x60')], [
    t.silent('90m', 'OAuth2NoTraffic'),
    t.fires('115m', 'OAuth2NoTraffic', t.job, '0'),
  ]),
  t.test('there never were requests', [requests('0x150')], [t.silent('115m', 'OAuth2NoTraffic')]),
  t.test('the process restarts again and again', [
    t.series('process_start_time_seconds', '100x3 340x2 520x2 700x20'),
  ], [
    t.silent('4m', 'OAuth2ProcessCrashLoop'),
    t.fires('12m', 'OAuth2ProcessCrashLoop', t.instance, '3'),
  ]),
  t.test('a rolling update restarts it once', [
    t.series('process_start_time_seconds', '100x3 340x20'),
  ], [t.silent('12m', 'OAuth2ProcessCrashLoop')]),
])
