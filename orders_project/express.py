"""Express lanes: the few addresses that must bear a rush, served many requests at a time, in front of Django.

A lane reads a request only if it is plain: in every detail as the documentation shows it. Whatever else
comes, wrong or merely unusual, goes to Django's view of the same address, which knows every rule and says
what is wrong. So a rule about input stands in one place, and a lane can only ever be faster, not other.
"""

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections, connection
from django.http import HttpResponse, UnreadablePostError
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from prometheus_client import Histogram

from orders_project.api.problem import MEDIA_TYPE, headers_of, problem, refusal_of
from orders_project.errors import Busy, DomainError
from orders_project.group_commit import GroupCommit, QueueFull
from orders_project.headers import told_to_browsers
from orders_project.logs import about
from orders_project.request_log import note, request_id, subjects

ASCII = "".join(map(chr, range(128)))

MOST_WAITING = 4000  # requests of one lane; more are told to come back
PAUSE = 1.0  # seconds without work, after which a connection may have broken meanwhile
SLOWEST_BODY = 60.0  # seconds in which a client must have sent a body; who is slower holds a thread for nothing

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

Asked = TypeVar("Asked")

json_of = msgspec.json.Encoder(decimal_format="string").encode


@dataclass(frozen=True, slots=True)
class Plain:
    """A request as a lane may read it: a path that is its own, no query, a key, JSON wanted and, if any, sent."""

    path: "re.Match[str]"
    key: str
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a lane answers: a status, JSON, and headers beside those that every answer has."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def refusal(error: DomainError) -> Answer:
    """The answer that Django's view gives for the same refusal."""
    return Answer(error.status, json_of(problem(error)), headers_of(error), MEDIA_TYPE)


class Lane(Protocol[Asked]):
    """One method of one address."""

    method: str
    route: str  # as urls.py has it
    largest_body: int  # bytes
    most_together: int  # requests in one batch

    def read(self, plain: Plain) -> Asked | None:
        """What a request asks for, or None if Django should read it. In the event loop: quick, no queries."""

    def answer(self, key: str, batch: Sequence[Asked]) -> Sequence[Answer | None]:
        """The answers to what was asked under one key; None where Django should answer. In a thread."""


class Express:
    """The ASGI application: the lanes, and `django` behind them for everything else; `sockets` for WebSockets,
    and what runs in the `background` as long as the process serves."""

    def __init__(
        self,
        lanes: Sequence[Lane[Any]],
        django: Application,
        executor: Executor,
        sockets: Application,
        background: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._lanes = [_Served(lane, executor) for lane in lanes]
        self._django = django
        self._sockets = sockets
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return
        scope, receive = _cleaned(scope), _whole(scope, receive)
        for served in self._lanes:
            path = served.path.fullmatch(scope["path"]) if scope["method"] == served.lane.method else None
            if path is not None:
                answer, receive = await served.answer(path, scope, receive)
                if answer is not None:
                    await _send(answer, send)
                    return
        await self._django(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        background = asyncio.create_task(self._background())
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        background.cancel()
        await asyncio.gather(*(served.together.drain() for served in self._lanes))
        await send({"type": "lifespan.shutdown.complete"})


def _cleaned(scope: Scope) -> Scope:
    """The request without what WSGI can't tell apart or can't say: a header name with an underscore, which
    would pass for one with a hyphen, and bytes in the query that are not escaped."""
    if any(b"_" in name for name, _ in scope["headers"]):
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}
    if not scope["query_string"].isascii():
        scope = {**scope, "query_string": quote(scope["query_string"], safe=ASCII).encode()}
    return scope


class _Recently(threading.local):
    until = 0.0


UUID_IN_PATH = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BATCHES = Histogram(
    "holdfast_batch_requests",
    "Requests of an express lane that were done together in one batch.",
    ["method", "route"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)


class _Served(Generic[Asked]):
    """A lane and the requests that wait in it."""

    _recently = _Recently()

    def __init__(self, lane: Lane[Asked], executor: Executor) -> None:
        self.lane = lane
        self.path = re.compile("/" + re.sub(r"<uuid:(\w+)>", rf"(?P<\1>{UUID_IN_PATH})", lane.route))
        self.batches = BATCHES.labels(lane.method, lane.route)
        self.together: GroupCommit[str, Asked, Answer | None] = GroupCommit(
            self._work, executor=executor, most_together=lane.most_together, most_waiting=MOST_WAITING
        )

    def _work(self, key: str, batch: Sequence[Asked]) -> Sequence[Answer | None]:
        # A thread keeps its connection from batch to batch, and gets a new one after any trouble or a pause.
        if time.monotonic() > self._recently.until:
            close_old_connections()
        self.batches.observe(len(batch))
        about()  # many requests, of a business that is not known yet
        try:
            answers = self.lane.answer(key, batch)
        except Exception:
            connection.close()
            raise
        self._recently.until = time.monotonic() + PAUSE
        return answers

    async def answer(self, path: "re.Match[str]", scope: Scope, receive: Receive) -> tuple[Answer | None, Receive]:
        """The lane's answer, or None if Django is to answer, with what it then receives."""
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        front = _front(headers.get(b"host"), scope["scheme"], headers.get(_FORWARDED_BYTES))
        key = _key(scope, headers, self.lane.largest_body)
        if key is None or front is None:
            return None, receive
        try:
            body, receive = await _read(receive)
        except UnreadablePostError as error:
            return refusal(refusal_of(error)), receive
        asked = self.lane.read(Plain(path, key, headers, body))
        if asked is None:
            return None, receive
        name = request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        about(request=name, **subjects(path.groupdict()))
        try:
            answer = await self.together.do(key, asked)
        except QueueFull:
            answer = refusal(Busy("Too many requests are waiting already. Try again.", retry_after=1))
        except Exception as error:
            answer = refusal(refusal_of(error))
        if answer is None:
            return None, receive
        note(self.lane.method, self.lane.route, answer.status, time.perf_counter() - begun)
        return replace(answer, headers={**front, "X-Request-ID": name, **answer.headers}), receive


KEY = re.compile(rb"Api-Key ([!-~]{1,200})")
ACCEPTED = {b"*/*", b"application/json"}
JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


def _key(scope: Scope, headers: Mapping[bytes, bytes], largest_body: int) -> str | None:
    """The API key of a request that is plain as far as its headers tell, or None."""
    if scope["query_string"] or len(headers) < len(scope["headers"]):  # one of them stands there twice
        return None
    accept = headers.get(b"accept", b"*/*")
    if b";" in accept or ACCEPTED.isdisjoint(map(bytes.strip, accept.split(b","))):  # "indent=4" is Django's
        return None
    length = headers.get(b"content-length", b"")
    if scope["method"] == "GET":
        if length or b"transfer-encoding" in headers:
            return None
    elif headers.get(b"content-type") not in JSON or not _is_up_to(length, largest_body):
        return None
    found = KEY.fullmatch(headers.get(b"authorization", b""))
    return found and found[1].decode()


def _is_up_to(length: bytes, largest: int) -> bool:
    return length.isdigit() and len(length) < 10 and int(length) <= largest


# The header in which a proxy says whether the client spoke TLS, as WSGI and as ASGI spell it.
_FORWARDED: str = (getattr(settings, "SECURE_PROXY_SSL_HEADER", None) or ["HTTP_X_FORWARDED_PROTO"])[0]
_FORWARDED_BYTES = _FORWARDED.removeprefix("HTTP_").replace("_", "-").lower().encode()


@lru_cache(maxsize=1000)
def _front(host: bytes | None, scheme: str, forwarded: bytes | None) -> dict[str, str] | None:
    """The headers that Django's middleware gives every answer; None if it would refuse or redirect."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": BytesIO(), "wsgi.url_scheme": scheme}
    if host is not None:
        environ["HTTP_HOST"] = host.decode("latin-1")
    if forwarded is not None:
        environ[_FORWARDED] = forwarded.decode("latin-1")
    request = WSGIRequest(environ)
    try:
        request.get_host()
        response = _middleware(request)
    except SuspiciousOperation:
        return None
    if response.status_code != 200:
        return None
    return {name: value for name, value in response.items() if name != "Content-Type"}


_middleware: Any = SecurityMiddleware(
    CSPMiddleware(XFrameOptionsMiddleware(told_to_browsers(lambda _: HttpResponse())))
)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that tells of it again."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    told = iter(messages)

    async def again() -> MutableMapping[str, Any]:
        return next(told, None) or await receive()

    return b"".join([message.get("body", b"") for message in messages]), again


def _whole(scope: Scope, receive: Receive) -> Receive:
    """A `receive` that raises UnreadablePostError, as Django calls it, if the body ends before its length or takes
    too long to come. What came of it may look like a whole one: of units=12 the first half is units=1."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SLOWEST_BODY
    length = dict(scope["headers"]).get(b"content-length", b"")
    missing = int(length) if length.isdigit() else 0
    more = True

    async def received() -> MutableMapping[str, Any]:
        nonlocal missing, more
        if not more:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise UnreadablePostError from None
        missing -= len(message.get("body", b""))
        more = bool(message.get("more_body"))
        if missing > 0 and not more:
            raise UnreadablePostError
        return message

    return received


async def _send(answer: Answer, send: Send) -> None:
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
