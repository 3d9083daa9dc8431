"""Where the platform is and as whom to call it, found as the command line finds it."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import ssl
import urllib.parse
from collections.abc import Mapping

from . import _errors
from ._errors import Error

MAX_SECRET = 4 << 10  # bytes of the small files of a home


@dataclasses.dataclass(frozen=True)
class Settings:
    """A server that was checked to be one, and a token for it."""

    url: str
    """http(s)://host:port, with a path if a proxy adds one, and no slash at the end."""
    token: str = dataclasses.field(repr=False)


def resolve(url: str | None, token: str | None, home: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Settings:
    """What is given counts, then SLIPWAY_SERVER and SLIPWAY_TOKEN, then the files of the home. The
    home's token goes to the home's own server only."""
    url = url or env.get("SLIPWAY_SERVER", "")
    token = token or env.get("SLIPWAY_TOKEN", "")
    if not (url and token):
        place = _home(home, env)
        try:
            address = _small(os.path.join(place, "address"))
        except OSError:
            address = ""
        if not (url or address):
            raise Error(_errors.NO_SERVER, f"no platform runs in {place}", "platform up")
        url = url or address
        token = token or _own_token(os.path.join(place, "owner.token"), url, address)
    return checked(url, token)


def authority(ca_file: str | os.PathLike[str] | None, env: Mapping[str, str]) -> ssl.SSLContext | None:
    """Trusts who is given, or SLIPWAY_CA, and nobody else; None for those that the system trusts."""
    file = os.fspath(ca_file) if ca_file else env.get("SLIPWAY_CA", "")
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ValueError):  # an SSLError is an OSError
        raise Error(
            _errors.CERTIFICATE, "the file of authorities cannot be used", "name a PEM file with ca_file or SLIPWAY_CA"
        ) from None


def checked(url: str, token: str) -> Settings:
    """Refuses what is no address, and a token that would cross the network in the clear."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port  # an impossible port raises
    except ValueError:
        host = None
    if not host or not _printable(url) or parts.scheme not in ("http", "https") or "@" in parts.netloc or "?" in url or "#" in url:
        raise Error(_errors.INVALID, "the server's address is no http or https URL", "give a URL such as http://127.0.0.1:8080")
    if not token or not _printable(token):
        raise Error(
            _errors.UNAUTHORIZED, "the token has characters that no token has", "check SLIPWAY_TOKEN for spaces and line ends"
        )
    if parts.scheme == "http" and not _loopback(host):
        raise Error(
            _errors.NEED_TLS, f"the token would cross the network in the clear to {parts.netloc}", f"use https://{parts.netloc}"
        )
    return Settings(url.rstrip("/"), token)


def _home(home: str | os.PathLike[str] | None, env: Mapping[str, str]) -> str:
    given = os.fspath(home) if home else env.get("SLIPWAY_HOME", "")
    if not given:
        data = env.get("XDG_DATA_HOME", "")
        if not data:
            if not env.get("HOME"):
                raise Error(_errors.INVALID, "no home directory", "set SLIPWAY_HOME")
            data = os.path.join(env["HOME"], ".local", "share")
        given = os.path.join(data, "slipway")
    return os.path.abspath(given)


def _own_token(file: str, url: str, address: str) -> str:
    step = "set SLIPWAY_TOKEN to a token of that server"
    if url.rstrip("/") != address.rstrip("/"):
        raise Error(_errors.NOT_LOGGED_IN, "there is no token for the server that was named", step)
    try:
        return _small(file)
    except OSError as e:
        raise Error(_errors.NOT_LOGGED_IN, f"the owner's token cannot be read: {e.strerror}", step) from None


def _small(file: str) -> str:
    """A file of one line."""
    try:
        with open(file, "rb") as f:
            text = f.read(MAX_SECRET).decode("ascii", "replace").strip()
    except ValueError:  # a path with a zero byte
        text = ""
    if not text:
        raise OSError(0, "it is empty")
    return text


def _printable(text: str) -> bool:
    return all(" " < c <= "~" for c in text)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
