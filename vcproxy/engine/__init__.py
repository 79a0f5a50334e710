"""The deterministic engine: driver calls in, commands out, no operating system here or below.

Engine, Continuation, Mutex, VConnection and VIO are one contract: for type checking these modules
refer to each other, and the modules that belong to an engine refer to it. No import at run time is
circular.
"""
