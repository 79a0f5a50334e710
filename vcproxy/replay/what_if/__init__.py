"""What if: a recorded run's clients and servers, with the plugin that there is today."""
