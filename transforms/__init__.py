"""What happens to events: language, engine, budget, state and registry, and the Beam steps that adapt them."""
