# SPDX-License-Identifier: Apache-2.0
"""One small module for each foreign system; importing one imports nothing that is not installed.

A module here takes the foreign object (an app, a registry) as an argument, and calls the driver's
public methods.
"""
