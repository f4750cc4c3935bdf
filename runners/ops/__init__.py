"""Operations, shared by the command line and whatever else operates the engine: functions that return data."""
