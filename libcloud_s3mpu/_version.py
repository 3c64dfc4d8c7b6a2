# SPDX-License-Identifier: Apache-2.0
"""The version, where the build reads it without importing the package's dependencies."""

__version__ = "0.1.0"
