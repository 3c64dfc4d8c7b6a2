# SPDX-License-Identifier: Apache-2.0
"""A real Chromium before a real S3 server: Uppy's plugins, and the page of ``s3mpu serve``."""
