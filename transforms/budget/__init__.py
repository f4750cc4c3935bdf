"""The ledger: caps are enforced here and nowhere else. One port, a plain model of it, and Redis."""
