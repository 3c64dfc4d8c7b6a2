# SPDX-License-Identifier: Apache-2.0
"""Both handlers mounted in four frameworks; each module has ``make_app(tus, direct)``."""
