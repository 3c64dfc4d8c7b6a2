# SPDX-License-Identifier: Apache-2.0
"""How each peer is driven: `make(job)` gives a client, `upload(client, job, source, key)` uses it.

Imports of a peer belong in `make`, so that they count as set-up and not as upload.
"""
