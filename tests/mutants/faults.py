"""What is changed in a module, one place at a time.

A check is dropped or always holds, a comparison or a condition is turned, a bound moves by one value, a number is
doubled, a flag or a message is changed, a call, a lock, a refusal or one of several methods is left out; and the like
inside of SQL. Annotations, docstrings, assertions and `__all__` stay.
"""

import ast
import re

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
OPPOSITES = {"any": "all", "all": "any", "min": "max", "max": "min"}
FOR_AUTHORS = {"frozen", "slots", "strict"}  # arguments whose changes only a mistake elsewhere would show
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WHERE|FROM|AND|ORDER BY|ALTER|CREATE|DROP|SET|LOCK)\b")
IN_SQL = {
    r" FOR (?:NO KEY )?(?:UPDATE|SHARE)\b": "", r" (?:SKIP LOCKED|NOWAIT)\b": "", r"\bAND\b": "OR", r"\bOR\b": "AND",
    r"\bNOT ": "", r" DESC\b": "", r"(?<![<>=!-])<(?![=>])": "<=", r"<=": "<", r"(?<![<>=!-])>(?!=)": ">=", r">=": ">",
    r" CONCURRENTLY\b": "", r" IF (?:NOT )?EXISTS\b": "", r" NOT VALID\b": "", r" DISTINCT\b": "",
}  # fmt: skip


Span = tuple[int, int]


class Faults(ast.NodeVisitor):
    """Collects (node, its place in the source, what stands there instead, the function around it)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[tuple[ast.expr | ast.stmt, Span, str, str]] = []
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._text = source.splitlines(keepends=True)
        self._around: list[str] = []
        self._decided: set[ast.AST] = set()  # what an outer fault includes
        self.visit(ast.parse(source))

    def _at(self, line: int, column: int) -> int:
        return self._lines[line - 1] + len(self._text[line - 1].encode()[:column].decode())

    def _span(self, node: ast.expr | ast.stmt) -> Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _of(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self.source[start:end]

    def _put(self, node: ast.expr | ast.stmt, new: str, span: Span | None = None) -> None:
        self.found.append((node, span or self._span(node), new, ".".join(self._around) or "module"))

    def _visit_inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        if not isinstance(node, ast.ClassDef):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    self.visit(default)
        self._around.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._around.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_inside  # noqa: N815 - ast's names

    def visit_Assert(self, node: ast.Assert) -> None:
        """It states what always holds."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not (isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"):
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._put(node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        if node not in self._decided:
            self._put(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._put(node, "pass")
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._put(node, "return None")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._put(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._put(node, "continue")

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._decided.add(node.body[0])
        self._decide(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._decide(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._put(node.test, "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._put(condition, "True")
        self.generic_visit(node)

    def _decide(self, test: ast.expr) -> None:
        """The other way always, of which a turned test would be less; what a walrus binds stays bound."""
        if isinstance(test, ast.BoolOp):
            return  # each of its conditions is dropped
        self._decided.add(test)
        names = [self._of(found) for found in ast.walk(test) if isinstance(found, ast.NamedExpr)]
        bound = "".join(f"({name}), " for name in names)
        for value in ("False", "True"):
            self._put(test, f"({bound}{value})[-1]" if names else value)

    def _visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        """A lock, a limit or a transaction is left out, one of several if there are."""
        for item in node.items:
            if item.optional_vars is None:
                self._put(item.context_expr, "__import__('contextlib').nullcontext()")
        self.generic_visit(node)

    visit_With = visit_AsyncWith = _visit_with  # noqa: N815 - ast's names

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if node in self._decided and not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                continue
            between = self._span(left)[1], self._span(right)[0]
            kept = re.fullmatch(r"([\s)]*)\S.*?([\s(]*)", self.source[slice(*between)], re.DOTALL)
            assert kept
            self._put(node, f"{kept[1]}{COMPARISONS[type(operator)]}{kept[2]}", between)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Each condition is dropped; where there are two, that says as much as the other word between them."""
        for value in node.values:
            if not any(isinstance(found, ast.NamedExpr) for found in ast.walk(value)):
                self._put(value, "True" if isinstance(node.op, ast.And) else "False")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not) and node not in self._decided:
            self._put(node, f"({self._of(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        new = ARITHMETIC.get(type(node.op))
        has_text = any(isinstance(found, ast.JoinedStr) or _is_text(found) for found in (node.left, node.right))
        if new and not has_text:
            between = self._span(node.left)[1], self._span(node.right)[0]
            self._put(node, re.sub(r"[-+*/]", new, self.source[slice(*between)], count=1), between)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in OPPOSITES:
            self._put(node.func, OPPOSITES[node.func.id])
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
            self._put(node, self._of(node.func.value))  # one of a chain: a condition or a lock of a query
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in FOR_AUTHORS:
            self.visit(node.value)

    def _visit_several(self, node: ast.Set | ast.Tuple | ast.List) -> None:
        """One of several names or texts is missing."""
        if len(node.elts) > 1 and all(isinstance(found, ast.Constant) for found in node.elts):
            for missing in node.elts:
                kept = ", ".join(self._of(found) for found in node.elts if found is not missing)
                self._put(node, {ast.Set: f"{{{kept}}}", ast.List: f"[{kept}]"}.get(type(node), f"({kept},)"))
        self.generic_visit(node)

    visit_Set = visit_Tuple = visit_List = _visit_several  # noqa: N815 - ast's names

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._put(node, str(not node.value))
        elif _is_number(node):
            self._put(node, str(node.value * 2 if node.value else 1))  # type: ignore[operator]
        elif isinstance(node.value, str):
            self._change_text(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._change_text(node)  # before Python 3.12, what stands in it has no place of its own

    def _change_text(self, node: ast.Constant | ast.JoinedStr) -> None:
        text = self._of(node)
        if SQL.search(text) and len(SQL.findall(text)) > 1:
            start, _ = self._span(node)
            for pattern, new in IN_SQL.items():
                for place in re.finditer(pattern, text):
                    if "--" not in text[: place.start()].rpartition("\n")[2]:  # else it is in a comment
                        self._put(node, new, (start + place.start(), start + place.end()))
        elif " " in text:
            self._put(node, '""')


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
