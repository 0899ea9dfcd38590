"""The limits on orders in use are those that docs/orders.md promises."""

from api.crud.orders import attempts, old_rows, payments, quotas
from api.external_services import http
from api.external_services.json_service import Failure
from api.schemas import orders
from tests.api.test_limits import DAY, HOUR, MINUTE, said
from tests.each import each


@each(
    "sentence, in_use, limits",
    [
        ("which is up to 100 items: `product` (up to 200 characters)", [orders.MAX_ITEMS], [100]),
        ("`size` (`small`, `medium`, `big`) and `quantity` (1 to 1,000,000", [orders.MAX_QUANTITY], [1_000_000]),
        ("has 100 open orders, and 4 MB of items", [quotas.MAX_OPEN_ORDERS, quotas.MAX_BYTES], [100, 4_000_000]),
        ("of a deleted order are removed after 30 days", [old_rows.ITEMS_KEPT_FOR.total_seconds()], [30 * DAY]),
        ("ends after 8 s, and is tried three times", [http.MAX_SECONDS, http.ATTEMPTS], [8, 3]),
        ("settles what was left open after two minutes", [payments.UNSETTLED_FOR.total_seconds()], [2 * MINUTE]),
        ("and so on, up to an hour", [payments.LONGEST_PAUSE.total_seconds()], [HOUR]),
        ("refused three times (a 4xx), or that has failed ten times",
         [attempts.TRIES[Failure.REFUSED], attempts.TRIES[Failure.FAILED]], [3, 10]),
    ],
)  # fmt: skip
def test_a_limit_is_the_one_in_the_documents(sentence: str, in_use: list[float], limits: list[float]) -> None:
    assert sentence in said("orders")
    assert in_use == limits
