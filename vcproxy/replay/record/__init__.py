"""Recording: engines that write each driver call to a log."""
