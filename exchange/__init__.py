"""The exchange: grants, plans, checks, the engine, receipts, the log, and the doors people come through."""
