"""Tests of the questions that a running proxy answers."""
