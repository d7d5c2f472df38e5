"""The WebSocket of the live feed: /ws/live, for API keys and for staff who are signed in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar, ParamSpec, TypeVar
from uuid import UUID

import redis
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, connection

from catalog.authentication import Access
from catalog.errors import NotAllowed
from catalog.live import feed
from catalog.live.admission import admit, request_of
from catalog.throttling import calls_left
from orders_project.api.problem import Throttled
from orders_project.errors import DomainError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATH = "/ws/live"
BEAT = 10  # seconds between two signs of life; whoever hears none for 20 may take the connection for lost
PATIENCE = 10  # seconds in which a client must take a frame, or is let go; it comes back with its position
MOST_SOCKETS = 1000  # of a process, with those that are not let in yet
LONGEST_MESSAGE = 1024  # characters; a client has nothing to tell
MOST_MESSAGES = 100  # between two beats

# How we end a socket. After the codes of a refusal, which are by its HTTP status, to try again is of no use.
REFUSED = {401: 4401, 403: 4403}
TOO_MANY_MESSAGES, MESSAGE_TOO_LONG, TRY_AGAIN = 1008, 1009, 1013

_threads = ThreadPoolExecutor(2, thread_name_prefix="live")
_door = asyncio.Semaphore(1)  # strangers come in one by one: they never take both threads from those who listen
_open = 0  # sockets of this process, with those at the door


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `work` returns, which waits for PostgreSQL or for Redis."""

    def do() -> R:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()  # back to the pool

    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, do)


def group_of(business_id: UUID) -> str:
    """The group of the channel layer in which a business's events are told."""
    return f"live.{business_id}"


class Ended(Exception):
    """We end a socket, with a closing code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Listener(AsyncWebsocketConsumer):
    """The socket of one client, which is told what happens in one business after the position `last`.

    It does one thing after the other; while its client is slow to take a frame, what comes waits, or is found
    in the feed later.
    """

    here: ClassVar[dict[UUID, set["Listener"]]] = {}  # those of this process, by business

    def __init__(self, request: WSGIRequest, access: Access) -> None:
        super().__init__()
        self.request = request
        self.business = access.business
        self.opened_at = access.now
        self.last = request.GET.get("last", "")
        self.heard = 0
        self.sent_away: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the socket to its end: what the client and the channel layer say, and a beat now and then."""
        clock = asyncio.get_running_loop().time
        heard = asyncio.ensure_future(receive())
        beat_at = clock() + BEAT

        async def receive_or_beat() -> Message:
            nonlocal heard, beat_at
            waiting: list[asyncio.Future[Any]] = [heard, self.sent_away]
            await asyncio.wait(waiting, timeout=max(0, beat_at - clock()), return_when=asyncio.FIRST_COMPLETED)
            if self.sent_away.done():
                raise Ended(TRY_AGAIN)
            if clock() >= beat_at:
                beat_at = clock() + BEAT
                return {"type": "beat"}
            message = heard.result()
            heard = asyncio.ensure_future(receive())
            return message

        try:
            await super().__call__(scope, receive_or_beat, send)
        finally:
            heard.cancel()  # granian closes no socket from which something is still awaited
            await self._leave()

    async def dispatch(self, message: Message) -> None:
        # Channels' own closes old database connections first, by a thread, at each message to each client.
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        await self.accept()
        self.here.setdefault(self.business.id, set()).add(self)
        # Before the feed is read: what is told meanwhile comes by either way, or by both.
        await self.channel_layer.group_add(group_of(self.business.id), self.channel_name)
        self.last = self.last or await in_thread(feed.position, self.business.id)
        missed = await self._missed()  # before the hello, which promises that the feed is there
        shop = {"id": self.business.id, "slug": self.business.slug}
        await self._say({"type": "hello", "business": shop, "last": self.last, "now": self.opened_at})
        await self._tell(missed)

    async def told(self, message: Message) -> None:
        """The channel layer brings events of this business as one frame, or only word that there are some."""
        if message.get("after") == self.last:
            await self._send_frame(message["frame"], message["last"])
        else:  # the feed knows what is new to this client, if anything
            await self._tell(await self._missed())

    async def beat(self, message: Message) -> None:
        """Tell the client that all is well, when that is so: it may listen, and has missed nothing."""
        self.heard = 0
        access = await in_thread(admit, self.request)
        if access.business.id != self.business.id:  # without a slug it is the first one that is left to them
            raise NotAllowed("This is not a business of yours any more.", business=self.business.slug)
        await self._tell(await self._missed())
        await self._say({"type": "beat", "now": access.now})

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What a client says is not read; only so much of it is borne."""
        self.heard += 1
        if len(text_data or bytes_data or "") > LONGEST_MESSAGE:
            raise Ended(MESSAGE_TOO_LONG)
        if self.heard > MOST_MESSAGES:
            raise Ended(TOO_MANY_MESSAGES)

    async def _missed(self) -> feed.Told:
        """What the feed has and the client was not told; if that can't be known, that it must look anew."""
        told = await in_thread(feed.told_since, self.business.id, self.last)
        if told is None:
            last = await in_thread(feed.position, self.business.id)
            told = feed.Told(self.last, last, [feed.RELOAD])
        return told

    async def _tell(self, told: feed.Told) -> None:
        if told.events:
            await self._send_frame(frame_of(told), told.last)

    async def _say(self, message: dict[str, Any]) -> None:
        await self._send_frame(feed.text_of(message), self.last)

    async def _send_frame(self, frame: str, last: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self.send(text_data=frame)
        except TimeoutError:
            raise StopConsumer from None
        self.last = last

    async def _leave(self) -> None:
        listeners = self.here.get(self.business.id, set())
        if self not in listeners:  # it came no further than to our door
            return
        listeners.remove(self)
        if not listeners:
            del self.here[self.business.id]
        with suppress(redis.RedisError):
            await self.channel_layer.group_discard(group_of(self.business.id), self.channel_name)


def frame_of(told: feed.Told) -> str:
    """Events as clients get them."""
    return f'{{"type":"events","last":"{told.last}","events":[{",".join(told.events)}]}}'


def listening() -> int:
    """How many clients of this process are told what happens."""
    return sum(map(len, Listener.here.values()))


def send_away() -> None:
    """Have every client of this process connect again, for it can't be told what happens."""
    for listener in [listener for listeners in Listener.here.values() for listener in listeners]:
        if not listener.sent_away.done():
            listener.sent_away.set_result(None)


async def sockets(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application of WebSockets: lets a client in, or tells it by the closing code why not."""
    global _open
    if scope["path"].rstrip("/") != PATH:
        await send({"type": "websocket.close"})
        return
    _open += 1
    try:
        if _open > MOST_SOCKETS:
            raise Throttled("Too many clients are listening already.", retry_after=BEAT)
        request = request_of(scope)
        async with _door:
            access = await in_thread(_let_in, request)
        await Listener(request, access)(scope, receive, send)
    except DomainError as refusal:
        await _end(send, REFUSED.get(refusal.status, TRY_AGAIN), refusal.code)
    except Ended as end:
        await _end(send, end.code)
    except (DatabaseError, redis.RedisError) as error:
        logger.warning("A client can't be served: %s", error)
        await _end(send, TRY_AGAIN)
    finally:
        _open -= 1


def _let_in(request: WSGIRequest) -> Access:
    access = admit(request)
    if not calls_left(access, calls=1):
        raise Throttled("Too many calls.", retry_after=BEAT)
    return access


async def _end(send: Send, code: int, reason: str = "") -> None:
    with suppress(RuntimeError):  # it is accepted already, or else a browser would not get to know the code
        await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": code, "reason": reason})
