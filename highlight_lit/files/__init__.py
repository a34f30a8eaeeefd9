"""One way to open a file that is there, and one to write a file that is whole or not there.

Reading takes regular files alone, never waits for a pipe or a device, and never takes more memory than a stated bound.
Writing goes to a temporary name that nobody can guess, is synced, and renamed.
"""

from highlight_lit.files.names import MAX_NAME_BYTES, cut_name, output_name, plain_name
from highlight_lit.files.reading import (
    encoding_of,
    is_of_format,
    open_regular,
    read_json,
    read_text,
    same_file,
    sha256,
    unique_keys,
)
from highlight_lit.files.sizes import check_packed, stored_bytes
from highlight_lit.files.writing import (
    atomic_write,
    for_a_file,
    json_text,
    not_an_input,
    remove_other,
    remove_tree,
    write_json,
    write_text,
)

__all__ = [
    "MAX_NAME_BYTES", "atomic_write", "check_packed", "cut_name", "encoding_of", "for_a_file", "is_of_format", "json_text",
    "not_an_input", "open_regular", "output_name", "plain_name", "read_json", "read_text", "remove_other", "remove_tree", "same_file", "sha256",
    "stored_bytes", "unique_keys", "write_json", "write_text",
]  # fmt: skip
