"""The terminal program: command line, store, feeds and widgets; screens live in `screens/`."""
