"""A web application that reads the request and answers at once: what is left is the server and the client."""

from typing import Any

ANSWER = b'{"id":"' + 700 * b"x" + b'"}'  # as long as an order


async def answer(scope: Any, protocol: Any) -> None:
    await protocol()
    protocol.response_bytes(200, [("content-type", "application/json")], ANSWER)
