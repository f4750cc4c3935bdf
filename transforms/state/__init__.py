"""Where a user's state lives: the port, and an adapter per place."""
