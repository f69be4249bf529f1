from laktory import api


@api.register_anyframe_namespace("my_gives_a_list")
class Methods:
    def __init__(self, frame):
        self._frame = frame

    def step(self):
        return [self._frame]
