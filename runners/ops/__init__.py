"""Operations, shared by the command line and whatever else operates the engine. Each is a function that returns data."""
