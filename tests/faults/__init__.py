# SPDX-License-Identifier: Apache-2.0
"""One test for each entry of the fault catalogue, named by its number; see docs/reliability.md."""
