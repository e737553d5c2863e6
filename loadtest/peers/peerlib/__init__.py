"""The implementation of `loadtest/peers/compare`."""
