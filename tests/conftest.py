"""The suite gives the same verdict on the same code: hypothesis draws the same examples every time."""

from hypothesis import settings

settings.register_profile("suite", derandomize=True)
settings.register_profile("search", max_examples=2000)
settings.load_profile("suite")
