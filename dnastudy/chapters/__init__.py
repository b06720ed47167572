"""One file a notebook, of its name: its inputs, tables and figures."""
