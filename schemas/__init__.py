"""What things are: the types every other room speaks of. Imports nothing of the project's other folders."""
