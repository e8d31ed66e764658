"""Starts the command ``edgeface``, also as ``python -m edgeface``."""

import errno
import os
import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, even while it is being imported."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # libraries turn a KeyboardInterrupt into other errors while they are imported
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from edgeface.daemon import run

    daemon = run.plain(sys.argv[1:])
    try:
        if daemon is not None:
            run.main(daemon)
            return
        from edgeface import cli

        signal.signal(signal.SIGINT, before)
        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:  # else the reader of our output has gone
            print(f"edgeface: standard output: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest when it exits
        sys.exit(1)


if __name__ == "__main__":
    main()
