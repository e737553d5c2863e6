"""Another authorization server and ours, loaded in turn: what `loadtest/peers/compare` is made of."""
