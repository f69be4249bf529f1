def read():
    raise KeyError("symbol")
