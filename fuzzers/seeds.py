#!/usr/bin/env python3
"""Small whole files for the fuzzers to begin with, and words they should know.

  fuzzers/seeds.py FOLDER     fills FOLDER/PARSER/ and FOLDER/PARSER.dict
"""
import glob
import gzip
import io
import json
import os
import re
import shutil
import struct
import sys
import zipfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LARGEST = 100_000  # bytes: longer seeds make every mutation slow
MOST_REAL = 60  # of one kind, the smallest
# What each parser reads of $ESPALIER_DATA, where there is any.
REAL = {"onnx": [".onnx"], "tflite": [".tflite"], "safetensors": [".safetensors"], "npy": [".npy"],
        "npz": [".npz"], "idx": ["ubyte", "ubyte.gz"], "csv": [".csv"], "image": [".png", ".jpg"],
        "yaml": [".yaml"], "esp": [".esp"]}


def write(folder, parser, name, data):
    os.makedirs(os.path.join(folder, parser), exist_ok=True)
    with open(os.path.join(folder, parser, name), "wb") as f:
        f.write(data)


def copy(folder, parser, pattern, most=None):
    os.makedirs(os.path.join(folder, parser), exist_ok=True)
    sizes = sorted((os.path.getsize(path), path) for path in glob.glob(pattern, recursive=True))
    for size, path in sizes[:most]:
        if size <= LARGEST:
            name = os.path.relpath(path, "/").replace("/", "_")
            shutil.copyfile(path, os.path.join(folder, parser, name))


def npy(descr, shape, data, version=1):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    size = 10 if version == 1 else 12
    header += b" " * (-(size + len(header) + 1) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(range(12)) for _ in range(4))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def words(folder, parser, found):
    with open(os.path.join(folder, parser + ".dict"), "w", encoding="ascii") as f:
        for word in sorted(set(found)):
            f.write('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"\n')


def main(folder):
    floats = struct.pack("<6f", *range(6))
    for version in (1, 2):
        write(folder, "npy", f"v{version}.npy", npy("<f4", (2, 3), floats, version))
    write(folder, "npy", "big.npy", npy(">i2", (3,), b"\0\1\0\2\0\3"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("x.npy", npy("<f4", (2, 3), floats))
        z.writestr("y.npy", npy("<i8", (2,), struct.pack("<2q", 0, 1)))
    write(folder, "npz", "two.npz", archive.getvalue())
    idx = b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(range(8))
    write(folder, "idx", "u8.idx", idx)
    write(folder, "idx", "u8.idx.gz", gzip.compress(idx))
    write(folder, "idx", "f32.idx", b"\0\0\x0d\x01" + struct.pack(">I2f", 2, 1, 2))
    header = json.dumps({"__metadata__": {"made": "by hand"},
                         "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                         "b": {"dtype": "I8", "shape": [3], "data_offsets": [24, 27]}}).encode()
    write(folder, "safetensors", "two.safetensors", struct.pack("<Q", len(header)) + header + floats + b"\1\2\3")
    write(folder, "csv", "header.csv", b'a,b,label\n1,2.5,"x, y"\r\n3,,z\n')
    write(folder, "image", "small.png", png())
    copy(folder, "image", os.path.join(ROOT, "tests/**/*.jpg"))
    copy(folder, "yaml", os.path.join(ROOT, "recipes/**/*.yaml"))
    copy(folder, "esp", os.path.join(ROOT, "tests/**/*.esp"))
    for kind in ("node", "simple"):
        copy(folder, "onnx", f"/usr/share/libonnx-testdata/data/{kind}/*/model.onnx")
    data = os.environ.get("ESPALIER_DATA")
    for parser, endings in REAL.items() if data else ():
        for ending in endings:
            copy(folder, parser, os.path.join(data, "**/*" + ending), MOST_REAL)
    operators = []
    with open(os.path.join(ROOT, "src/ops/catalogue.inc"), encoding="utf-8") as f:
        operators = re.findall(r"\((\w+)\)", f.read())
    types = ["f32", "bf16", "i64", "i8", "u8", "bool", "string", "constant", "graph", "->", "external"]
    camel = ["".join(part.capitalize() for part in o.split("_")) for o in operators]
    words(folder, "esp", types + camel)
    words(folder, "onnx", camel + ["axis", "axes", "perm", "pads", "strides", "to", "body", "then_branch"])


if __name__ == "__main__":
    main(sys.argv[1])
