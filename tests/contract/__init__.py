# SPDX-License-Identifier: Apache-2.0
"""One list of behaviours, held against the fake and every real server that can run here."""
