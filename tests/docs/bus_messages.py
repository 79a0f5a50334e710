"""The page docs/reference/bus-messages.md: every message of the bus, from the definitions."""

from __future__ import annotations

from vcproxy.bus.message.definitions import Definition, ParameterDefinition, load

HEAD = r"""# Messages of the bus

<!-- Written by `make docs` from vcproxy/bus/message/builtin. -->

A message is one line of text: a command and its parameters, optionally with the names of sender and
receiver. Its reasons, and where it differs from eventdispatcher: [the bus](../design/bus.md).

```text
[<FROM_SERVER:FROM_SERVICE ] [[SERVER:]SERVICE/] COMMAND [ NAME=VALUE {;NAME=VALUE} [;]]
```

| part | consists of |
|---|---|
| command | letters, digits and `_`; by convention upper case |
| name of a parameter | letters, digits and `_`, no digit first |
| server, service | letters, digits, `_`, `-` and `.`; `.` is here, `*` is all, `?` is any one |
| value | ends with `;` or the line; in `"..."` if it contains `;`, begins with `"` or ends blank |
| in values | `\\` is a backslash, `\n` a new line, `\r` a carriage return; in quotes `\"` is `"` |

On streams each message is one line; in a datagram it is alone, without a new line. It has at most
64 KiB (over UDP 1024 bytes). A text that begins with `{` is the same as JSON:

```json
{"server": "snap", "service": "cluckd", "command": "LOCK", "parameters": {"timeout": 30}}
```

`"sent-from-server"` and `"sent-from-service"` may be there too, and other keys with strings, which
are ignored. A value is a string, a number, true, false, or null for an empty value.

## Definitions

A file `COMMAND.conf` in a directory of definitions (`[control] messages`) has a section for each
parameter of a command. A message that does not match it is answered with INVALID.

```ini
description = Take a lock.

[name]
description = Its name.

[timeout]
type = integer
flags = optional
description = How many seconds the answer may take.
```

| type | value |
|---|---|
| `string` | anything; the default |
| `integer` | 64 bits with a sign, in decimal or after `0x`, `0o`, `0b` or `0d` |
| `timespec` | seconds with up to 9 decimals, as in `1700000000.25` |
| `address` | an address, as in `tls://127.0.0.1:443`; without a scheme it is `tcp://` |

| flag | meaning |
|---|---|
| none | the parameter is required, and may be empty |
| `required` | it is required |
| `optional` | it may be missing (also spelled `allowed` or `defined`) |
| `forbidden` | it must be missing |
| `empty` | it may be empty, which with another flag it may not |

## Standard messages

"""


def page() -> str:
    """Return the page."""
    return HEAD + "\n".join(map(_section, load()))


def _section(definition: Definition) -> str:
    text = f"### {definition.command}\n\n{definition.description}\n"
    if not definition.parameters:
        return text
    rows = "".join(map(_row, definition.parameters))
    return f"{text}\n| parameter | type | | meaning |\n|---|---|---|---|\n{rows}"


def _row(parameter: ParameterDefinition) -> str:
    presence = (
        "required" if parameter.required else "forbidden" if parameter.forbidden else "optional"
    )
    if parameter.may_be_empty:
        presence += ", may be empty"
    return f"| `{parameter.name}` | {parameter.type} | {presence} | {parameter.description} |\n"
