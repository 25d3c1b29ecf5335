"""The syntax tree of a FHIRPath expression, as fhirpathpy's grammar reads it, but strictly: to the last character."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias, cast

from antlr4 import CommonTokenStream, InputStream, Token  # type: ignore[import-untyped]
from antlr4.error.ErrorListener import ErrorListener  # type: ignore[import-untyped]
from antlr4.tree.Tree import ParseTreeWalker  # type: ignore[import-untyped]
from fhirpathpy.parser.ASTPathListener import ASTPathListener
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

_Listener = cast("Any", ASTPathListener)

Tree: TypeAlias = dict[str, Any]  # a node of fhirpathpy's syntax tree


class NotFhirPathError(ValueError):
    """The expression does not follow the grammar; the text says where."""


class _Strict(ErrorListener):  # type: ignore[misc]
    def syntaxError(  # noqa: N802 - antlr4 calls it so
        self, recognizer: Any, symbol: Any, line: int, column: int, msg: str, e: Any
    ) -> None:
        del recognizer, symbol, line, e
        raise NotFhirPathError(f"{msg.partition(' expecting')[0]} at character {column + 1}")


def syntax_tree(expression: str) -> Tree:
    """The tree of `expression`. Raises NotFhirPathError where fhirpathpy by itself would silently read on."""
    strict, listener = _Strict(), _Listener()
    lexer = FHIRPathLexer(InputStream(expression))
    lexer.removeErrorListeners()
    lexer.addErrorListener(strict)
    tokens = CommonTokenStream(lexer)
    tokens.fill()
    _read_keywords_as_names(tokens)
    _read_open_times(tokens)
    parser: Any = FHIRPathParser(tokens)
    parser.removeErrorListeners()
    parser.addErrorListener(strict)
    ParseTreeWalker().walk(listener, parser.entireExpression().getChild(0))
    return cast("Tree", listener.parentStack[0]["children"][0])


def _read_keywords_as_names(tokens: Any) -> None:
    # After a dot comes a name, even where it is spelled like an operator. FHIRPath wants text.`div`, and
    # nobody writes that; the official patch cases do not either.
    visible = [token for token in tokens.tokens if token.channel == Token.DEFAULT_CHANNEL]
    for before, token in pairwise(visible):
        if before.text == "." and token.text.isalpha():
            token.type = FHIRPathLexer.IDENTIFIER


def _read_open_times(tokens: Any) -> None:
    # `@2015T` is a time of which only the year is known (N1 §4.1.6); here it is read as that year.
    for before, token in pairwise(tokens.tokens):
        if token.text == "T" and before.text.startswith("@"):
            token.channel = Token.HIDDEN_CHANNEL


def name_of(tree: Tree) -> str:
    """The identifier a node holds."""
    return str(tree["children"][0]["text"]).replace("`", "")


def parameters_of(call: Tree) -> list[Tree]:
    """The arguments of a function call, as trees."""
    return [parameter for listed in call["children"][1:] for parameter in listed.get("children", ())]
