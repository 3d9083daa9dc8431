"""Calls over kept connections: each with a time limit, and repeated only where that is safe."""

from __future__ import annotations

import collections
import functools
import http.client
import io
import json
import os
import random
import select
import socket
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from . import _errors
from ._errors import Error
from ._settings import Settings

MAX_ANSWER = 32 << 20  # bytes
MAX_REFUSAL = 1 << 20
MAX_KEPT = 16  # idle connections
TRIES = 6  # of a call that is safe to repeat
DIALS = 3  # while nothing listens at all
FIRST_WAIT, LONG_WAIT, MAX_AFTER = 0.1, 2.0, 5.0  # seconds


class Transport:
    """Calls one server. It may be used by many threads, and after a fork."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None, agent: str) -> None:
        parts = urllib.parse.urlsplit(settings.url)
        self.url = settings.url
        self._prefix = parts.path
        self._headers = {"Authorization": "Bearer " + settings.token, "User-Agent": agent}
        connection: Any = http.client.HTTPConnection
        if parts.scheme == "https":
            connection = functools.partial(http.client.HTTPSConnection, context=tls or ssl.create_default_context())
        self._connect = functools.partial(connection, parts.hostname, parts.port)
        self._idle: collections.deque[http.client.HTTPConnection] = collections.deque()
        self._pid = os.getpid()

    def close(self) -> None:
        """Closes the connections that are kept; the next call opens one again."""
        while self._idle:
            self._idle.pop().close()

    def call(
        self,
        method: str,
        *parts: str,
        timeout: float,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that a path answers. A GET is repeated when the connection fails or the control
        plane restarts; anything else only as long as nothing was sent."""
        if not 0 < timeout <= 1e6:
            raise Error(_errors.INVALID, "the timeout is no positive number of seconds", "give seconds, such as timeout=30")
        target = self._prefix + path(*parts) + ("?" + urllib.parse.urlencode(query, errors="replace") if query else "")
        own = {**self._headers, **(headers or {})}
        if body is not None:
            own["Content-Type"] = "application/json"
        until = time.monotonic() + timeout
        tried = 0
        while True:
            try:
                return self._once(method, target, body, own, until)
            except _Failure as f:
                tried += 1
                wait = max(min(FIRST_WAIT * 2**tried, LONG_WAIT) * random.uniform(0.25, 0.5), min(f.after, MAX_AFTER))
                if tried >= (DIALS if f.unsent else TRIES if method == "GET" else 0) or time.monotonic() + wait >= until:
                    raise f.error from None
            time.sleep(wait)

    def _once(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], until: float) -> Any:
        connection = self._open(until)
        keep = False
        try:
            sent = _send(connection, method, target, body, headers)
            connection.response_class = functools.partial(_Response, until=until)  # type: ignore[assignment]
            response = connection.getresponse()
            ok = 200 <= response.status < 300
            raw = _read(response, MAX_ANSWER if ok else MAX_REFUSAL)
            keep = sent and not response.will_close
        except OSError as e:
            raise self._unreachable(e, unsent=False) from None
        except http.client.IncompleteRead:
            raise self._unreachable(ConnectionResetError(), unsent=False) from None
        except http.client.HTTPException:
            raise self._foreign() from None
        finally:
            if keep and len(self._idle) < MAX_KEPT:
                self._idle.append(connection)
            else:
                connection.close()
        if not ok:
            raise self._refused(response, raw)
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise self._foreign(response.status) from None

    def _open(self, until: float) -> http.client.HTTPConnection:
        """A connection that the server has not closed."""
        if self._pid != os.getpid():  # these are the parent's, who goes on to use them
            self._idle, self._pid = collections.deque(), os.getpid()
        left = max(until - time.monotonic(), 0.001)
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if kept.sock is not None and not _readable(kept.sock):
                kept.sock.settimeout(left)
                return kept
            kept.close()
        new: http.client.HTTPConnection = self._connect(timeout=left)
        try:
            new.connect()
        except ssl.SSLCertVerificationError as e:
            new.close()
            raise Error(
                _errors.CERTIFICATE,
                f"the certificate of {self.url} is not to be trusted: {e.verify_message}",
                "give the authority that signed it: ca_file, or SLIPWAY_CA",
            ) from None
        except OSError as e:
            new.close()
            raise self._unreachable(e, unsent=True) from None
        return new

    def _refused(self, response: http.client.HTTPResponse, raw: bytes) -> Exception:
        error = _errors.refusal(response.status, raw)
        if response.status not in (502, 503):
            return error
        after = response.headers.get("Retry-After", "")
        return _Failure(error, after=float(after) if after.isascii() and after.isdigit() and len(after) < 5 else 0)

    def _unreachable(self, e: OSError, unsent: bool) -> Exception:
        if isinstance(e, socket.timeout):
            return Error(_errors.DEADLINE, f"no answer in time from {self.url}", "try again, or allow more time")
        if isinstance(e, ssl.SSLError) and unsent:
            step = "trust its authority with SSL_CERT_FILE, or give ssl_context"
            return Error(_errors.NO_SERVER, f"no safe connection to {self.url}: {e.reason or e.strerror}", step)
        return _Failure(Error(_errors.NO_SERVER, f"no answer from {self.url}", "platform up"), unsent)

    def _foreign(self, status: int = 0) -> Error:
        message = f"what answers at {self.url} is not this platform"
        return Error(_errors.NO_SERVER, message, "check the server's address", status=status)


class _Failure(Exception):
    """An error that may go away: what is told in the end, and what decides whether to try again."""

    def __init__(self, error: Error, unsent: bool = False, after: float = 0) -> None:
        super().__init__()
        self.error, self.unsent, self.after = error, unsent, after


class _Timed(io.RawIOBase):
    """Reads a socket up to a point in time, however slowly the bytes come."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, until: float, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, until))


def _send(connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> bool:
    """Sends a request, and says whether it went out whole. One that is refused before its end may
    have an answer all the same."""
    try:
        connection.request(method, target, body, dict(headers))
    except (BrokenPipeError, ConnectionResetError):
        if body is None:
            raise
        return False
    return True


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    raw = bytearray()
    while piece := response.read(1 << 16):
        raw += piece
        if len(raw) > limit:
            raise Error(_errors.TOO_LARGE, f"the answer is larger than {limit >> 20} MiB", "ask for less at once")
    if response.length:
        raise ConnectionResetError  # it ended before its announced length
    return bytes(raw)


def _readable(sock: socket.socket) -> bool:
    """An idle connection has nothing to read but its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def path(*parts: str) -> str:
    """A path of parts, each escaped."""
    out = ""
    for part in parts:
        quoted = urllib.parse.quote(part, safe="", errors="replace")
        out += "/" + (quoted.replace(".", "%2E") if quoted in (".", "..") else quoted)
    return out
