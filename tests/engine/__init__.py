"""The engine, held to what it promises."""
