"""Property tests here run on shared and slow machines: they have no deadline."""

from hypothesis import settings

settings.register_profile("core", deadline=None, max_examples=60)
settings.load_profile("core")
