"""One file per judge protocol: the questions it asks, the contract its reply must meet."""
