"""A stand-in for the programs of the stack, called as they are: ``migrate``, ``sandbox``, ``api`` and ``worker``.

It only serves ``/health`` or touches its ready file, so that tests of the supervisor start in a fraction of a second.
Variables make one program misbehave: ``FAKE_FAILS=api`` exits at once.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()


def main(name: str, *options: str) -> None:
    if os.environ.get("FAKE_FAILS") == name:
        sys.exit(f"{name} has no idea what to do")
    print(name, "sees", os.environ["DOMS_DATABASE_URL"].split("@")[-1], os.environ["DOMS_TEMPORAL_ADDRESS"], *options)
    if name in {"sandbox", "api"}:
        HTTPServer(("127.0.0.1", int(options[options.index("--port") + 1])), Health).serve_forever()
    if name == "worker":
        Path(os.environ["DOMS_READY_FILE"]).touch()
        time.sleep(3600)


main(*sys.argv[1:])
