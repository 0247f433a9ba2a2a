"""The parts of a strategy's conditions: `(a > b) & (c < d)` is two terms, each with its value, its operands and whether
it is true.

Read from the source of the condition, so a strategy says nothing twice. A condition that is more than one `return`, or
that reads names of its own,
has no terms; its outcome stands alone.
"""

import ast
import inspect
import re
import textwrap
from functools import cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from futures_algo.core.types import FuturesAlgoError
from futures_algo.strategies.values import Known, Values

_OPERATORS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}


class Term(NamedTuple):
    "One comparison of a condition, compiled."

    text: str  # as written, without `x.` and `self.`
    code: CodeType
    operator: str  # of a comparison, else ""
    operands: tuple[CodeType, ...]  # both sides of a comparison; none of anything else


@cache
def terms_of(condition: FunctionType) -> tuple[Term, ...]:
    "The terms of a condition joined by & or |; none where its source does not show them."
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(condition)))
    except (OSError, TypeError, SyntaxError):
        return ()
    if not isinstance(tree.body[0], ast.FunctionDef) or condition.__code__.co_freevars:
        return ()  # a local name of where it was written
    body = [
        line for line in tree.body[0].body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
    ]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        return ()
    names = [argument.arg for argument in tree.body[0].args.args]
    return tuple(_term(part, names) for part in _parts(body[0].value))


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return _parts(node.left) + _parts(node.right)
    return [node]


def _term(node: ast.expr, names: list[str]) -> Term:
    sides: tuple[ast.expr, ...] = ()
    operator = ""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        sides, operator = (node.left, node.comparators[0]), _OPERATORS.get(type(node.ops[0]), "")
    text = re.sub(rf"\b({'|'.join(names)})\.", "", ast.unparse(node))
    return Term(text, _compiled(node), operator, tuple(_compiled(side) for side in sides))


def _compiled(node: ast.expr) -> CodeType:
    return compile(ast.Expression(node), "<condition>", "eval")


def evaluated(strategy: Any, known: Known) -> dict[str, list[dict[str, Any]]]:
    "Every condition's terms at one bar: text, true or false, and the operands' values."
    from futures_algo.strategies.base import CONDITIONS, BaseStrategy

    found = {}
    for name in CONDITIONS:
        condition = getattr(type(strategy), name)
        if condition is getattr(BaseStrategy, name) or not isinstance(condition, FunctionType):
            continue
        try:
            found[name] = [_answer(term, condition, strategy, known) for term in terms_of(condition)]
        except (FuturesAlgoError, ArithmeticError, TypeError, ValueError):
            continue  # the condition itself answered; its parts are an explanation only
    return {name: answers for name, answers in found.items() if answers}


def _answer(term: Term, condition: FunctionType, strategy: Any, known: Known) -> dict[str, Any]:
    x, arguments = Values(known), condition.__code__.co_varnames
    ask = lambda code: eval(
        code, condition.__globals__, {arguments[0]: strategy, arguments[1]: x}
    )  # the strategy's own code, which has just run as a whole
    value, operands = ask(term.code), [float(ask(side)) for side in term.operands]
    return {
        "text": term.text,
        "value": bool(value),
        "operator": term.operator,
        "operands": [side if side == side else None for side in operands],
    }  # JSON has no NaN
