"""A mail server for one machine: it takes all mail, keeps it in a folder, and shows it in the browser."""
