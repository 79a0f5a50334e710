"""Tests of what is in packaging/."""
