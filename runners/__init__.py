"""Every process: the runners, the embedded server, the command line, operations and the console."""
