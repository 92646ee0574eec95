"""Looking after stores: `vla data check`, `repair`, `info`, `stats`, `view` and `split`."""
