"""Puts a mutant into a process that has imported the module: the code of its functions is exchanged, where they are."""

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

Pair = tuple[CodeType, CodeType]
OPTIMIZED = 1  # inspect.CO_OPTIMIZED: of functions, not of modules and classes


class CannotSwapError(Exception):
    """What is changed runs when the module is imported, or the functions do not fit: it has to be imported anew."""


def functions_below(folder: Path) -> dict[str, list[FunctionType]]:
    """All functions of the modules below this folder, by the module's path in it."""
    gc.unfreeze()  # what is frozen is not among the objects
    found = [function for function in gc.get_objects() if isinstance(function, FunctionType)]
    gc.freeze()
    functions, below = defaultdict(list), f"{folder}/"
    for function in found:
        if (path := function.__code__.co_filename).startswith(below):
            functions[path.removeprefix(below)].append(function)
    return functions


def swap(functions: Iterable[FunctionType], source: str, mutated: str) -> None:
    """Exchange the code of those functions that differ in a module; CannotSwapError before anything is."""
    changed = {_place(old): new for old, new in _functions(*(compile(text, "", "exec") for text in (source, mutated)))}
    found = [(function, changed[place]) for function in functions if (place := _place(function.__code__)) in changed]
    if not found:
        raise CannotSwapError("no such function")
    for function, new in found:
        if (function.__code__.co_freevars, function.__code__.co_flags) != (new.co_freevars, new.co_flags):
            raise CannotSwapError(function.__qualname__)
    for function, new in found:
        function.__code__ = new


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _functions(old: CodeType, new: CodeType) -> Iterator[Pair]:
    """The functions that differ, and those that they are in."""
    is_function, differs = bool(old.co_flags & OPTIMIZED), _own(old) != _own(new)
    if len(_inner(old)) != len(_inner(new)) or (differs and not is_function):
        raise CannotSwapError(old.co_qualname)
    inside = [pair for inner in zip(_inner(old), _inner(new), strict=True) for pair in _functions(*inner)]
    if is_function and (differs or inside):
        yield old, new
    yield from inside


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    """What this code does without that in it."""
    constants = [found.co_name if isinstance(found, CodeType) else repr(found) for found in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
