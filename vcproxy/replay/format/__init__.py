"""The log format: the recorded calls of a driver into an engine, stored in a file.

**Reader API** (stable; everything that reads logs uses it):

- `reader.RecordingLog(path)`: `.header` (`header.Header`), iteration over `reader.Frame` (`step` of
  its first entry, `offset` and `size` in the file, `entries`), `.steps()` over (step, entry); after
  the iteration `.truncated`. Raises `reader.LogError`, whose text can be shown to users.
- `entries`: one NamedTuple for each driver call. `entries.vc_of(entry)` is the number of the VC
  that an entry is about, or None; `entries.encode(entry)` and `entries.decode(cursor)`.
- `writer.Writer(path, header)`: `.add(entry)`, `.cut()` at the end of a frame, `.close()`. Entries
  read from a log and added to a writer in the same frames make the same file, byte for byte.
- `values`: plain data; `values.FailureValue` is an exception, `values.DataclassValue` a verdict.

VCs, listeners and calls are identified by numbers, from 1, in the order of their creation. Steps
are the positions of entries, counted from 1. Tested in tests/replay/test_format.py.
"""
