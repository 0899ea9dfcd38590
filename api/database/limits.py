"""What a column can hold, for the error that says which value it can't."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Integer, Numeric, SmallInteger, String
from sqlalchemy.types import TypeEngine


def misfit(column_type: TypeEngine[Any], value: object) -> str | None:
    """Why a column of this type can't hold `value`; None if it can."""
    if isinstance(column_type, Integer) and isinstance(value, int):
        return _outside(2 ** (_bits(column_type) - 1), value)
    if isinstance(column_type, Numeric) and column_type.precision and isinstance(value, int | float | Decimal):
        scale = column_type.scale or 0
        bound = Decimal(10) ** (column_type.precision - scale)
        amount = Decimal(str(value))
        # Compared before it is rounded, too, because what is far too large can't be.
        if not amount.is_finite() or abs(amount) >= bound or abs(round(amount, scale)) >= bound:
            return f"must be between -{bound} and {bound}"
    if isinstance(column_type, String) and isinstance(value, str) and len(value) > (column_type.length or len(value)):
        return f"must have at most {column_type.length} characters"
    return None


def _bits(column_type: Integer) -> int:
    return {SmallInteger: 16, BigInteger: 64}.get(type(column_type), 32)


def _outside(bound: int, value: int) -> str | None:
    return None if -bound <= value < bound else f"must be between {-bound} and {bound - 1}"
