"""Makes the TLS contexts of connections to others."""

import ssl

from edgeface.config.paths import expand
from edgeface.errors import ConfigError
from edgeface.platform.files import read_small


def client_context(ca_file: str, setting: str) -> ssl.SSLContext:
    """Return a context that verifies by the authorities of ``ca_file``, or the system's if it is empty.

    Raise ``ConfigError``, by the name of the ``setting``, if the file cannot be read.
    """
    authority = expand(ca_file, setting) if ca_file else None
    try:
        if authority:
            read_small(authority)  # OpenSSL would wait for a pipe
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{setting} {ca_file}: {getattr(error, 'strerror', None) or error}") from None
    # From Python 3.13 on, the default refuses authorities made as mosquitto's manual shows, for a missing extension.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
