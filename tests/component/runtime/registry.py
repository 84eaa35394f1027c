"""A registry on loopback: the images of a folder over plain HTTP, behind a password or not.

Started as a program inside a machine's network (`python registry.py FOLDER PORT [USER:PASSWORD]`).
The folder holds unpacked OCI image layouts, one per repository. Every request is written to
standard output as one JSON line: method, path and the Authorization header that came with it.
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
WANTED = sys.argv[3] if len(sys.argv) > 3 else ""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        given = self.headers.get("Authorization", "")
        print(json.dumps([self.command, self.path, given]), flush=True)
        expected = "Basic " + base64.b64encode(WANTED.encode()).decode()
        if WANTED and given != expected:
            self._send(401, b"", "text/plain", body, {"WWW-Authenticate": 'Basic realm="test"'})
            return
        found = self._find()
        if found is None:
            self._send(404, b"", "text/plain", body, {})
        else:
            digest, data, kind = found
            self._send(200, data, kind, body, {"Docker-Content-Digest": digest})

    def _find(self) -> tuple[str, bytes, str] | None:
        """`/v2/<repository>/(manifests|blobs)/<tag or digest>`."""
        parts = self.path.removeprefix("/v2/").split("/")
        repository, kind, name = "/".join(parts[:-2]), parts[-2], parts[-1]
        layout = FOLDER / repository
        if not layout.is_dir():
            return None
        if not name.startswith("sha256:"):
            name = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        blob = layout / "blobs" / name.replace(":", "/")
        content = MANIFEST if kind == "manifests" else "application/octet-stream"
        return (name, blob.read_bytes(), content) if blob.is_file() else None

    def _send(self, code: int, data: bytes, kind: str, body: bool, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Said above already."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
