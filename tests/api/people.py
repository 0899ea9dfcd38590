"""The headers with which the users of the tests' database are signed in."""

from tests.conftest import signed_in

VISITOR, KEEPER, ADMIN = signed_in("visitor"), signed_in("keeper"), signed_in("admin")
