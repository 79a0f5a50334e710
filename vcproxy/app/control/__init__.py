"""Control: the threads, sockets and tokens of the doors, and the proxy behind them."""
