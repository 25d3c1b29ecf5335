"""Where the files are that are no Python: profiles, examples, the capability statement.

In a checkout they stand beside the package, where people edit them; a wheel carries them inside it, under
`_data`.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_path(name: str) -> Path:
    """The file or folder `name`: `profiles`, `examples`, … Raises FileNotFoundError."""
    for folder in (_PACKAGE / "_data", _PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is neither in {_PACKAGE / '_data'} nor in {_PACKAGE.parent}")
