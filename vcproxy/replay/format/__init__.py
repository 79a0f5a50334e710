"""Recording: what a driver told an engine, kept in a file, so that the run can be run again.

**Reader API** (stable; everything that looks at logs builds on it):

- `reader.Log(path)`: `.header` (`header.Header`), iteration over `reader.Frame` (`step` of its
  first entry, `offset` in the file, `size` there, `entries`), `.steps()` over (step, entry), and
  afterwards `.truncated`. Raises `reader.LogError`, worded for people.
- `entries`: one NamedTuple for each driver call. `entries.vc_of(entry)` is the number of the VC
  that an entry is about, or None; `entries.encode(entry)` and `entries.decode(cursor)`.
- `writer.Writer(path, header)`: `.add(entry)`, `.cut()` where a frame ends, `.close()`. What is
  read from a log and added to a writer in the same frames makes the same file.
- `values`: plain data; `values.Failure` stands for an exception, `values.Record` for a verdict.

VCs, listeners and calls are named by numbers, from 1, in the order in which they came to be;
steps are entries, counted from 1.
"""
