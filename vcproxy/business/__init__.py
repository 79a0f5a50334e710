"""Business machines: who may speak, what is valid, who gets which part of an answer."""
