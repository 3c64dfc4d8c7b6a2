# SPDX-License-Identifier: Apache-2.0
"""Uploads over HTTP, without a framework: a handler takes a request and gives a response.

The values of both are in :mod:`.messages`, the handlers in :mod:`.tus` and :mod:`.direct`, and what
ties them to a server in :mod:`.wsgi` and :mod:`.asgi`. No package is needed beyond the driver's.
"""
