"""`make growth`: the cost of each operation as the log, the number of its apps and that of its readers grow."""
