"""Clocks that are set, and keys that grow too old."""

from clock import FakeClock
from database import Database
from table import RESTART, fault

DAY = 86400


@fault("The clock of the machine is set back", {"OAuth2ClockStep", "OAuth2TokenIdsAhead"})
def clock_set_back(scene):
    clock = FakeClock(scene.stack.directory / "clock")
    clock.set(600)
    scene.serve(clock.environment())
    yield
    clock.set(0)
    yield
    # Ids advance at half speed until the clock has reached them, so it must advance by more than twice as much.
    clock.set(2000)


@fault("The clock of the database is ahead", {"OAuth2ClockStep", "OAuth2ClockSkew"}, {"OAuth2TokenIdsAhead", "OAuth2BusDown"})
def database_clock(scene):
    clock = FakeClock(scene.stack.directory / "clock")
    database = Database(scene.stack, clock.environment())
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    yield
    clock.set(10)
    yield
    clock.set(0)


@fault("A server that was off for two days has keys that were due", {"OAuth2KeyRotationOverdue"}, RESTART)
def key_overdue(scene):
    clock = FakeClock(scene.stack.directory / "clock")
    timing = {"OAUTH2_KEYS_ROTATION_DAYS": "1", "OAUTH2_KEYS_JWKS_MAX_AGE": "35", "OAUTH2_KEYS_CLOCK_SKEW": "2"}
    scene.serve({**clock.environment(), **timing})
    yield
    scene.node.stop()
    clock.set(2 * DAY)
    scene.node.start()
    yield
    # It rotates by itself: the new key signs when it was published for max-age and skew.
