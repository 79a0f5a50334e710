"""Workers: a master process that starts worker processes, replaces them, and ends them."""
