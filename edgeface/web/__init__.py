"""The page: what a browser shows of the daemon. But for its token, nothing here is imported unless ``[web] enabled`` is set."""
