# SPDX-License-Identifier: Apache-2.0
"""The measured process: one contender, one workload, one line of figures."""
