"""Foreign services, one protocol a file; `http.py` holds the HTTP client for all of them."""
