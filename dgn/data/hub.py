"""Whether the Hugging Face hub can be reached."""

import os
import socket
import urllib.parse
import urllib.request

_TIMEOUT = 5.0  # seconds


def unreachable() -> str | None:
    """Returns why the hub cannot be reached, in a few words; None if it can be, or if a proxy is configured.

    Call it before the hub's own libraries, which retry for half a minute without a network.
    """
    address = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    host, proxies = address.hostname or "", urllib.request.getproxies()
    if (address.scheme in proxies or "all" in proxies) and not urllib.request.proxy_bypass(host):
        return None
    port = address.port or {"http": 80}.get(address.scheme, 443)
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT):
            return None
    except OSError as error:
        return f"no connection to {host}: {error.strerror or error}"
