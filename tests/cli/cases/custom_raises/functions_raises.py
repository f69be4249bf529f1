from laktory import api


@api.register_anyframe_namespace("my_raises")
class Methods:
    def __init__(self, frame):
        self._frame = frame

    def step(self):
        raise ValueError("no such symbol\nand much more")
