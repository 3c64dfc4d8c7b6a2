# SPDX-License-Identifier: Apache-2.0
"""The pure half of the house: values, rules and wire formats; nothing here touches the world.

No socket, thread, clock, file, environment, random source or HTTP library may be imported in this
room. The reader goes to :mod:`libcloud_s3mpu.transfer` next, where the bytes move.
"""
