"""A page to read and to print: plain HTML with nothing loaded from anywhere, and everything that people wrote escaped.

It is made for whoever is tired or sees badly: one column of short tables with captions and headed rows, read aloud in their order, dark
text of a readable size, links to nothing. On paper each table's head stands on every page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from phb_fhir.fhir.money import sterling

HTML = "text/html"
STYLE = """
body { font: 1.1rem/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.3rem; margin-top: 2rem; } h3 { font-size: 1.1rem; margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid #767676; }
.money { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.small { display: block; font-size: .9rem; color: #3d3d3d; }
@media print { body { font-size: 10pt; max-width: none; margin: 0; } thead { display: table-header-group; } tr { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; } @page { margin: 15mm; } }
"""
AMOUNTS = ("Amount", "Change", "Cost", "Left", "Price")  # columns that stand to the right
_MONEY = ' class="money"'


def as_page(title: str, body: Iterable[str]) -> bytes:
    """The whole page, UTF-8. `body` is HTML, its parts one below the other; `title` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join([f"<h1>{escape(title)}</h1>", *body])
        + "\n</main>\n</body>\n</html>\n"
    ).encode()


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table whose first column heads its rows; amounts stand to the right. Cells are HTML, heads and caption are text."""
    yield f"<table>\n<caption>{escape(caption)}</caption>"
    named = "".join(
        f'<th scope="col"{_MONEY if head in AMOUNTS else ""}>{escape(head)}</th>' if head else "<td></td>"
        for head in heads
    )
    yield f"<thead><tr>{named}</tr></thead>\n<tbody>"
    for first, *others in rows:
        cells = "".join(
            f"<td{_MONEY if head in AMOUNTS else ''}>{cell}</td>" for head, cell in zip(heads[1:], others, strict=True)
        )
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>'
    yield "</tbody>\n</table>"


def small(text: str) -> str:
    """A line below, in smaller letters; nothing for no text."""
    return f'<span class="small">{escape(text)}</span>' if text else ""


def money(pence: int) -> str:
    return escape(sterling(pence))
