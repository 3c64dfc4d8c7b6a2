# SPDX-License-Identifier: Apache-2.0
"""Measure this project and its peers; `python -m benchmarks --help` says how.

Lives here: what runs on the measuring side. `client/` and `contenders/` run in the measured
process, under the interpreter of each contender's own virtual environment, and import nothing
but the standard library and their contender. Nothing here is part of the installed package.
"""
