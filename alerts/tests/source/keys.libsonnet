local t = import 'lib.libsonnet';
local eddsa = { algorithm: 'EdDSA' };

t.file([
  t.test('a key is overdue', [
    t.series('signing_key_rotation_due_seconds', '60-60x200', eddsa),
    t.series('signing_key_rotation_due_seconds', '86400-60x200', { algorithm: 'ES256' }),
  ], [
    t.silent('62m', 'OAuth2KeyRotationOverdue'),
    t.fires('121m', 'OAuth2KeyRotationOverdue', t.job + eddsa, '2h 0m 0s'),
  ]),
  t.test('a key is rotated in time', [t.series('signing_key_rotation_due_seconds', '600-60x10 7776000-60x190', eddsa)], [
    t.silent('121m', 'OAuth2KeyRotationOverdue'),
  ]),
  t.test('a key is about to be removed', [t.series('retired_keys_with_live_tokens', '0x5 1x20')], [
    t.silent('5m', 'OAuth2RetiredKeyWithLiveTokens'),
    t.fires('15m', 'OAuth2RetiredKeyWithLiveTokens', t.job, '1'),
  ]),
  t.test('many tokens are revoked', [
    t.series('oauth_token_revoked_total', '0+900x40', { kind: 'token' }),
    t.series('oauth_token_issued_total', '0+1200x40', { grant_type: 'client_credentials', format: 'jwt' }),
  ], [t.fires('20m', 'TokenRevocationRateHigh', t.job, '15')]),
  t.test('many tokens are revoked, and many more issued', [
    t.series('oauth_token_revoked_total', '0+900x40', { kind: 'token' }),
    t.series('oauth_token_revoked_total', '0+9000x40', { kind: 'client' }),
    t.series('oauth_token_issued_total', '0+12000x40', { grant_type: 'client_credentials', format: 'jwt' }),
  ], [t.silent('20m', 'TokenRevocationRateHigh')]),
  t.test('half of few tokens are revoked', [
    t.series('oauth_token_revoked_total', '0+60x40', { kind: 'token' }),
    t.series('oauth_token_issued_total', '0+60x40', { grant_type: 'client_credentials', format: 'jwt' }),
  ], [t.silent('20m', 'TokenRevocationRateHigh')]),
  t.test('revocations lag', [t.series('revocation_lag_seconds', 'NaN 0.2x5 4x20')], [
    t.silent('6m', 'OAuth2RevocationLag'),
    t.fires('10m', 'OAuth2RevocationLag', t.instance, '4s'),
  ]),
  t.test('the clock is behind', [
    t.series('clock_difference_seconds', '0x5 -12x20'),
    t.series('clock_steps_total', '0x5 1x60'),
    t.series('token_ids_ahead_seconds', '0x5 30x20'),
    t.series('cutoffs_ahead', '0x5 2x20'),
  ], [
    t.silent('5m', 'OAuth2ClockSkew'),
    t.fires('15m', 'OAuth2ClockSkew', t.instance, '12s'),
    t.silent('4m', 'OAuth2ClockStep'),
    t.fires('10m', 'OAuth2ClockStep', t.instance, '1'),
    t.silent('30m', 'OAuth2ClockStep'),
    t.silent('8m', 'OAuth2TokenIdsAhead'),
    t.fires('15m', 'OAuth2TokenIdsAhead', t.instance, '30s'),
    t.silent('6m', 'OAuth2CutoffsAhead'),
    t.fires('15m', 'OAuth2CutoffsAhead', t.job, '2'),
  ]),
  t.test('clocks agree', [
    t.series('clock_difference_seconds', '0.2x30'),
    t.series('clock_steps_total', '3x30'),
    t.series('token_ids_ahead_seconds', '0x30'),
    t.series('cutoffs_ahead', '0x30'),
    t.series('revocation_lag_seconds', '0.3x30'),
    t.series('retired_keys_with_live_tokens', '0x30'),
  ], [
    t.silent('25m', alert)
    for alert in ['OAuth2ClockSkew', 'OAuth2ClockStep', 'OAuth2TokenIdsAhead', 'OAuth2CutoffsAhead', 'OAuth2RevocationLag', 'OAuth2RetiredKeyWithLiveTokens']
  ]),
])
