"""msgpack, as much as tests need: what the server reads and writes, in its shortest form."""

import struct


def _head(n, short, short_max, sizes):
    if n <= short_max:
        return bytes([short | n])
    for code, form, limit in sizes:
        if n < limit:
            return bytes([code]) + struct.pack(form, n)
    raise OverflowError(n)


def _integer(n):
    if n >= 0:
        return _head(n, 0, 0x7F, [(0xCC, ">B", 1 << 8), (0xCD, ">H", 1 << 16),
                                  (0xCE, ">I", 1 << 32), (0xCF, ">Q", 1 << 64)])
    if n >= -32:
        return struct.pack(">b", n)
    for code, form, bits in [(0xD0, ">b", 8), (0xD1, ">h", 16), (0xD2, ">i", 32), (0xD3, ">q", 64)]:
        if n >= -(1 << bits - 1):
            return bytes([code]) + struct.pack(form, n)
    raise OverflowError(n)


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), 0xA0, 31, [(0xD9, ">B", 1 << 8), (0xDA, ">H", 1 << 16),
                                           (0xDB, ">I", 1 << 32)]) + data
    if isinstance(value, bytes):
        return _head(len(value), 0, -1, [(0xC4, ">B", 1 << 8), (0xC5, ">H", 1 << 16),
                                         (0xC6, ">I", 1 << 32)]) + value
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 15, [(0xDC, ">H", 1 << 16), (0xDD, ">I", 1 << 32)]) + \
            b"".join(map(pack, value))
    if isinstance(value, dict):
        return _head(len(value), 0x80, 15, [(0xDE, ">H", 1 << 16), (0xDF, ">I", 1 << 32)]) + \
            b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(type(value))


_SIZED = {  # code: (form of the length, what follows)
    0xC4: (">B", "bin"), 0xC5: (">H", "bin"), 0xC6: (">I", "bin"),
    0xD9: (">B", "str"), 0xDA: (">H", "str"), 0xDB: (">I", "str"),
    0xDC: (">H", "array"), 0xDD: (">I", "array"), 0xDE: (">H", "map"), 0xDF: (">I", "map"),
}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
            0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        piece = self.data[self.at:self.at + n]
        assert len(piece) == n, "cut off"
        self.at += n
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, kind, n):
        if kind == "bin":
            return self.take(n)
        if kind == "str":
            return self.take(n).decode()
        if kind == "array":
            return [self.value() for _ in range(n)]
        return dict((self.value(), self.value()) for _ in range(n))

    def value(self):
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self.sized("map", code & 0x0F)
        if code < 0xA0:
            return self.sized("array", code & 0x0F)
        if code < 0xC0:
            return self.sized("str", code & 0x1F)
        if code in _SIZED:
            form, kind = _SIZED[code]
            return self.sized(kind, self.number(form))
        if code in _NUMBERS:
            return self.number(_NUMBERS[code])
        return {0xC0: None, 0xC2: False, 0xC3: True}[code]


def unpack(data):
    reader = _Reader(data)
    value = reader.value()
    assert reader.at == len(data), "something follows the document"
    return value
