"""Tests of the changes that an operator makes in a running proxy."""
