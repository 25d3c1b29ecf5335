"""`phb-fhir …`, run in this process: what it prints and how it ends, without waiting for Python and our imports each time."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import NamedTuple

import pytest

from phb_fhir.cli.main import main
from phb_fhir.settings import PREFIX


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: object, **settings: str) -> Done:
    """What becomes of `phb-fhir` with these words, in an environment with these settings and none else; wide enough to wrap nothing."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as here:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            here.delenv(name)
        for name, value in {"NO_COLOR": "1", "COLUMNS": "200", "PHB_MONGODB_CACHE_MB": "256", **settings}.items():
            here.setenv(name, value)
        here.setattr(sys, "argv", ["phb-fhir", *map(str, words)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
