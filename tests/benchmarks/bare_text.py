"""A bare aiohttp client that sends as many chat completions as a dataset has entries.

Run as a script in a process of its own; prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import aiohttp


async def main(args: argparse.Namespace) -> dict[str, float]:
    """Send all requests, ``concurrency`` at once; return how long that took, in s."""
    free = asyncio.Semaphore(args.concurrency)
    connector = aiohttp.TCPConnector(limit=args.concurrency)

    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number: int) -> str:
            messages = [
                {"role": "system", "content": "Translate from English to Spanish."},
                {"role": "user", "content": f"The train to platform {number} leaves."},
            ]
            body = {"model": "openai/gpt-4o", "messages": messages, "temperature": 0.3}
            async with free, session.post(f"{args.url}/chat/completions", json=body) as response:
                data = await response.json()
            text: str = data["choices"][0]["message"]["content"]
            return text

        started = time.perf_counter()
        await asyncio.gather(*map(ask, range(args.requests)))
        return {"span_s": time.perf_counter() - started}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(arguments()))) + "\n")
