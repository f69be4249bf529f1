def read():
    return {"id": [1]}
