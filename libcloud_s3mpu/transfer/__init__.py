# SPDX-License-Identifier: Apache-2.0
"""The road of a byte: splitter, window, attempt, connection.

``upload.py`` is the road and may use every edge; the edges do not import each other. Rules that
need no socket, thread or file belong in :mod:`libcloud_s3mpu.protocol`.
"""
