"""Hierarchical state machines, declared as classes and checked when the class is made."""
