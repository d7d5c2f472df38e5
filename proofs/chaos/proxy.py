"""A TCP proxy in front of PostgreSQL, whose connections can be cut, stalled and slowed down."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends an RST, and what was under way is gone


class Proxy:
    """Passes bytes on from a port of this machine to a unix socket; in a thread of its own."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        listening = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = listening.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection; new ones may come at once."""
        self._do(self._cut())

    def stall(self) -> None:
        """Pass nothing on, until `flow`. Connections stay, and who connects hears nothing."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Pass everything on, what was kept back too."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def delay(self, seconds: float) -> None:
        """Pass each piece on so much later, in both directions."""
        self._delay = seconds

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            there, back = await asyncio.open_unix_connection(str(self._server))
            await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        except OSError:  # the server is away, or either end has gone
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65536):
                await self._flows.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                sink.write(piece)
                await sink.drain()
        finally:
            with suppress(OSError):
                sink.close()
