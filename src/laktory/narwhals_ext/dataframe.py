"""Namespace ``laktory`` of frames."""

from laktory.transforms.frames import LaktoryFrame

__all__ = ["LaktoryFrame"]
