"""The JSON form."""
