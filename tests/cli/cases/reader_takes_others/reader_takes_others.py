def read(symbol):
    return {"id": [symbol]}
