# SPDX-License-Identifier: Apache-2.0
"""Servers that have no command of their own: ``python -m tests.web.launch NAME PORT``."""

from __future__ import annotations

import sys
from typing import Any

HOST = "127.0.0.1"


def wsgiref(app: Any, port: int) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server(HOST, port, app, Server).serve_forever()


def werkzeug(app: Any, port: int) -> None:
    from werkzeug.serving import run_simple

    run_simple(HOST, port, app, threaded=True)


def gevent(app: Any, port: int) -> None:
    from gevent.pywsgi import WSGIServer

    WSGIServer((HOST, port), app).serve_forever()


def tornado(app: Any, port: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tornado.wsgi import WSGIContainer
    from tornado.ioloop import IOLoop
    from tornado.httpserver import HTTPServer

    HTTPServer(WSGIContainer(app, ThreadPoolExecutor(8))).listen(port, HOST)
    IOLoop.current().start()


def twisted(app: Any, port: int) -> None:
    from twisted.internet import reactor
    from twisted.web.wsgi import WSGIResource
    from twisted.web.server import Site

    found: Any = reactor
    found.listenTCP(port, Site(WSGIResource(found, found.getThreadPool(), app)), interface=HOST)
    found.run()


def uwsgi(app: Any, port: int) -> None:
    import pyuwsgi

    how = ["--http-socket", f"{HOST}:{port}", "--module", "tests.web.served:app", "--master"]
    pyuwsgi.run([*how, "--enable-threads", "--threads", "8", "--die-on-term", "--need-app"])


def bjoern(app: Any, port: int) -> None:
    import bjoern as server

    server.run(app, HOST, port)


if __name__ == "__main__":
    if sys.argv[1] == "gevent":  # Before anything else opens a socket.
        from gevent import monkey

        monkey.patch_all()
    from tests.web.served import app as served

    globals()[sys.argv[1]](served, int(sys.argv[2]))
