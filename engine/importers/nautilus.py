"""A NautilusTrader Parquet catalog (as 1.221.0 writes it) to ours; NautilusTrader is not needed.

`path` is the catalog's folder. Depth (`order_book_delta`, or else `order_book_depth10`), trades
(`trade_tick`) and quotes (`quote_tick`) of the instrument are read; how their rows are taken is
told in `engine.importers.nautilus_rows`. `ts_init` becomes the receive time.
"""
