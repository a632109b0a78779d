"""Pickles that were made up crash nothing, run nothing and take no memory by numbers in them."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
from collections import defaultdict

import joblib
import numpy as np
import pytest
import torch

from gcl.structure.unpickle import DEEPEST, RefusedPickle, load_arrays, plain, plain_dtype

DTYPE = b"cnumpy\ndtype\n"


def dtype(text: str, state: bytes = b"") -> bytes:
    """Opcodes of a dtype; ``state``: opcodes of what is BUILD into it."""
    made = DTYPE + b"(X" + struct.pack("<I", len(text)) + text.encode() + b"\x89\x88tR"
    return made + state + b"b" * bool(state)


def array(shape: bytes, kind: bytes, content: bytes) -> bytes:
    """A pickle of an array with a state of its own making, of opcodes."""
    reconstruct = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    return b"\x80\x04" + reconstruct + b"(K\x01" + shape + kind + b"\x89" + content + b"tb."


def integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


EIGHT = b"C\x08" + b"\x41" * 8


def joblib_array(shape: bytes, kind: bytes, behind: bytes, padding: bytes = b"") -> bytes:
    """joblib's description of an array, of opcodes, and what stands behind it. Padding: opcodes of
    the entry about it."""
    fields = b"X\x05\x00\x00\x00shape" + shape + b"X\x05\x00\x00\x00dtype" + kind
    fields += b"X\x05\x00\x00\x00orderX\x01\x00\x00\x00C" + padding
    return b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(" + fields + b"ub" + behind


ALIGNED = b"X\x1b\x00\x00\x00numpy_array_alignment_bytesK\x10"
CRAFTED = {
    # eight bytes as a pointer to an object: numpy follows it
    "bytes as objects": array(b"K\x01\x85", dtype("O8"), EIGHT),
    "a dtype of numbers whose state makes it one of objects": array(
        b"K\x01\x85", dtype("V8", b"(K\x03X\x01\x00\x00\x00|NNNK\x08K\x01K?t"), EIGHT
    ),
    "more objects than in the list": array(b"M\xff\xff\x85", dtype("O8"), b"]"),
    "an object scalar": b"\x80\x04cnumpy._core.multiarray\nscalar\n("
    + dtype("O8")
    + EIGHT
    + b"tR.",
    "fields": array(b"K\x01\x85", dtype("f4,O"), EIGHT),
    "more numbers than there are": array(integer(2**40) + b"\x85", dtype("f8"), EIGHT),
    "a shape of less than nothing": array(integer(-1) + b"\x85", dtype("f8"), EIGHT),
    "a shape that overflows": array(integer(2**62) + b"K\x04\x86", dtype("f8"), EIGHT),
    "numpy.ndarray called": b"\x80\x04cnumpy\nndarray\n" + integer(2**40) + b"\x85\x85R.",
    "numpy.ndarray made": b"\x80\x04cnumpy\nndarray\n" + integer(2**40) + b"\x85\x85\x81.",
    "a function changed": b"\x80\x04cnumpy\ndtype\n}X\x05\x00\x00\x00_makecnumpy\nndarray\nsb.",
    "a bytearray larger than the file": b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"x.",
    "joblib: objects": joblib_array(b"K\x01\x85", dtype("O8"), b"\x41" * 8 + b"."),
    "joblib: more numbers than there are": joblib_array(
        integer(2**40) + b"\x85", dtype("f8"), b"\x41" * 8 + b"."
    ),
    "joblib: a shape that overflows": joblib_array(
        integer(2**62) + b"K\x04\x86", dtype("f8"), b"\x41" * 8 + b"."
    ),
    "joblib: a shape of less than nothing": joblib_array(
        integer(-1) + b"\x85", dtype("f8"), b"\x41" * 8 + b"."
    ),
    "joblib: no dtype": joblib_array(b"K\x01\x85", b"cnumpy\nndarray\n", b"\x41" * 8 + b"."),
    "joblib: no numbers": joblib_array(b"K\x01\x85", dtype("f8"), b"", ALIGNED),
    "joblib: its class changed": b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n"
    b"}X\x05\x00\x00\x00shapeK\x01sb.",
    "no end": b"\x80\x04cnumpy\ndtype\n",
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_pickle_is_an_exception(case):
    with pytest.raises(Exception):  # noqa: B017  any: the process lives
        load_arrays(CRAFTED[case])


def test_a_memo_of_any_number_takes_no_memory():
    """The unpickler in C has a list as long as the largest number: 64 GB here."""
    assert load_arrays(b"\x80\x04K\x07r" + struct.pack("<I", 2**32 - 1) + b".") == 7


def test_crafted_arrays_are_pickles_in_form():
    """What is refused is the state, not an opcode that is wrong: with good state it is an array."""
    good = array(b"K\x01\x85", dtype("f8"), b"C\x08" + struct.pack("<d", 2.5))
    assert load_arrays(good).tolist() == [2.5] == pickle.loads(good).tolist()


def test_crafted_arrays_of_joblib_are_arrays_in_form():
    """As above; joblib before 1.2 did not align them."""
    number = struct.pack("<d", 2.5) + b"."
    plain_form = joblib_array(b"K\x01\x85", dtype("f8"), number)
    padded = joblib_array(b"K\x01\x85", dtype("f8"), b"\x03\xff\xff\xff" + number, ALIGNED)
    assert load_arrays(plain_form).tolist() == load_arrays(padded).tolist() == [2.5]


def dumped(value) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["?", "i1", ">i4", "<u8", "f4", "f8", "c16", "U3"])
def test_what_joblib_dumps_comes_back(kind):
    values = np.array([[1, 0, 3], [4, 5, 6]], kind)
    arrays = [values, np.asfortranarray(values), values[:, ::2], values[:0], values[0, 0]]
    nested = defaultdict(dict, {np.int64(3): {"a": arrays, "b": [1, "x", None]}})
    back = load_arrays(dumped(nested))
    assert back[3]["b"] == [1, "x", None]
    for array, found in zip(arrays, back[3]["a"], strict=True):
        assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        assert np.array_equal(found, array)


def test_a_matrix_and_objects_of_joblib_are_refused():
    with pytest.raises(RefusedPickle, match="asks for numpy.*matrix"), warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # numpy's, of its matrix
        load_arrays(dumped(np.matrix([[1.0]])))
    with pytest.raises(ValueError, match="no plain numbers"):
        load_arrays(dumped(np.array([{}, None], object)))


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["?", "i1", ">i4", "<u8", ">f2", "f8", "c16", "U3", ">U3", "S3"])
def test_arrays_of_numbers_and_text_come_back(protocol, kind):
    values = np.array([[1, 0, 3], [4, 5, 6]], kind)
    for array in (values, np.asfortranarray(values), values[:, ::2], values[:0], values[0, 0]):
        back = load_arrays(pickle.dumps({"a": array}, protocol))
        assert back["a"].dtype == array.dtype and np.array_equal(back["a"], array)


def test_arrays_of_objects_are_lists():
    ragged = np.empty((2, 1), object)
    ragged[0, 0], ragged[1, 0] = np.arange(2), {"a": np.float32(1.5)}
    back = load_arrays(pickle.dumps([np.array({"x": 1}, object), ragged]))
    assert back[0] == {"x": 1}
    assert back[1][0][0].tolist() == [0, 1] and back[1][1] == [{"a": 1.5}]


@pytest.mark.parametrize(
    "text", ["O", "|O8", "V8", "M8[s]", "f4,i4", "(2,)f4", "i3", "S", "f16", ""]
)
def test_other_dtypes_are_refused(text):
    with pytest.raises(ValueError, match="no plain numbers"):
        plain_dtype(text)


def test_what_a_file_holds_is_bounded():
    """References cost a file nothing: what is counted is what is there to be walked through."""
    twice = [np.zeros(4)]
    for _ in range(DEEPEST - 1):
        twice = [twice, twice]
    for value, message in (
        (twice, "items|bytes"),
        ([np.zeros(1000)] * 1000, "bytes"),
        ([torch.zeros(1).expand(10**7)], "bytes"),
        ([[[0] * 1000] * 1000] * 10, "items"),
    ):
        with pytest.raises(ValueError, match=message):
            plain(value, most=1_000_000)
    inside: list = []
    inside.append(inside)
    with pytest.raises(ValueError, match=f"more than {DEEPEST} containers"):
        plain(inside)
