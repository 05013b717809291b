"""Pages for people: rendered on the server, usable without JavaScript. Reads and acts by commands."""
