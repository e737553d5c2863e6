"""What clients do: wrong secrets, too many requests, tokens or revocations."""

import traffic
from table import ERRORS, fault

GRANT = {"grant_type": "client_credentials"}


@fault("A flood of requests with a wrong secret", {"OAuth2AuthFailureSpike"})
def wrong_secrets(scene):
    scene.serve()
    yield
    stop = scene.flood(lambda caller: caller.public("/oauth/token", GRANT, "load", "w" * 43), 30)
    yield
    stop()


@fault(
    "Clients with slow imported hashes come all at once",
    {"OAuth2ForeignHashesShed"},
    # Its secrets are wrong guesses.
    ERRORS | {"OAuth2AuthFailureSpike", "OAuth2Shedding", "HighLatency", "LatencyBudgetBurn"},
)
def imported_hashes(scene):
    scene.serve()
    # bcrypt with a cost of 12 of a secret that nobody has.
    digest = "$2a$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK"
    status, answer = traffic.Caller(scene.node).admin(
        "POST", "/clients", {"client_id": "imported", "client_secret_hash": digest})
    assert status == 201, answer
    yield
    secrets = iter(range(10**9))
    stop = scene.flood(lambda caller: caller.public("/oauth/token", GRANT, "imported", f"guess {next(secrets)}"), 20)
    yield
    stop()


@fault("A client hammers past its rate limit", {"OAuth2RateLimitSpike"})
def rate_limit(scene):
    scene.serve()
    client, secret = scene.register("limited", rate_limits={"token": "1/s"})
    yield
    stop = scene.flood(lambda caller: caller.public("/oauth/token", GRANT, client, secret), 20)
    yield
    stop()


@fault("A client hammers past its quota", {"OAuth2ClientsOverQuota"})
def quota(scene):
    scene.serve()
    client, secret = scene.register("metered", quotas={"day": 5})
    yield
    stop = scene.flood(lambda caller: caller.public("/oauth/token", GRANT, client, secret), 10)
    yield
    stop()
    status, answer = traffic.Caller(scene.node).admin("PATCH", f"/clients/{client}", {"quotas": {"day": 1000000}})
    assert status == 200, answer


@fault("A client revokes every token that it gets", {"TokenRevocationRateHigh"})
def revocations(scene):
    scene.serve()
    client, secret = scene.register("revoker")
    yield

    def revoke(caller):
        caller.public("/oauth/revoke", {"token": caller.token(client, secret) or "unknown"}, client, secret)

    stop = scene.flood(revoke, 40)
    yield
    stop()
