# SPDX-License-Identifier: Apache-2.0
"""How each peer is driven: `make(job)` gives a client, `upload(client, job, source, key)` uses it.

What those that read have besides is told by `client/reading.py`. Imports of a peer belong in
`make`, so that they count as set-up and not as what is measured.
"""
