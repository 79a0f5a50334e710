"""For authors of plugins and machines: simulated proxies, scripted peers, checks."""
