"""Messages about approvals: to whom, what they say, by which channel."""
