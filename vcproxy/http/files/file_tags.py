"""The tags of the events of files that are used. Tested in tests/http/files/test_open_files.py."""

FILE_READY = "FILE_READY"
"""Tag: a file was opened or refused; with the OpenFile."""

FILE_FAILED = "FILE_FAILED"
"""Tag: a file that is being sent cannot be read; with the text why."""
