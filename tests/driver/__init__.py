# SPDX-License-Identifier: Apache-2.0
"""The driver in libcloud's own manner: a ``MockHttp``, fixtures, and everything in one thread.

Fixtures are in ``fixtures/`` at the top. What needs a socket is in ``tests/contract`` and
``tests/faults``; a few defects of upstream's that only a socket shows go to the fake from here.
"""
