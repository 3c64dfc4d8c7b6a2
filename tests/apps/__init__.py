# SPDX-License-Identifier: Apache-2.0
"""Apps that people run on libcloud storage, from the package index, on a real server."""
