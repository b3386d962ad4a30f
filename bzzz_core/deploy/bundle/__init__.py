"""One signed file from which hosts are installed without internet: see `docs/bundles.md`."""
