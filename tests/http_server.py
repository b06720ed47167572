"""A real HTTP server for tests: it can drop connections, refuse, lie, and be a package index."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """What is served by path, and every path that was asked for, in order."""

    def __init__(self):
        self.asked: list[str] = []
        self._answers: dict[str, tuple[int, bytes, str, list[int]]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def serve(self, path, content, *, status=200, drop_after=(), kind="application/octet-stream"):
        """Answer `path` with `content`; the first ones break off after `drop_after` bytes."""
        self._answers[path] = (status, content, kind, list(drop_after))

    def serve_project(self, project, files, *, digests=None):
        """Answer as a package index (PEP 503) that has these files and publishes their sha256."""
        links = []
        for name, content in files.items():
            digest = (digests or {}).get(name, hashlib.sha256(content).hexdigest())
            links.append(f'<a href="/files/{name}#sha256={digest}">{name}</a>')
            self.serve(f"/files/{name}", content)
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        self.serve(f"/simple/{project}/", page.encode(), kind="text/html")

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                status, content, kind, drops = server._answers.get(self.path, (404, b"", "text/plain", []))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: drops.pop(0)] if drops else content)

            def log_message(self, *arguments):
                pass

        return Handler


@contextmanager
def running_server(monkeypatch) -> Iterator[Server]:
    """Give a server, with no proxy before it and no pauses between attempts to reach it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("dnastudy.genes.download.time.sleep", lambda seconds: None)
    server = Server()
    try:
        yield server
    finally:
        server.stop()
