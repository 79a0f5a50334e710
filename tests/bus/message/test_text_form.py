"""The text form: its grammar, with every text that it refuses."""
