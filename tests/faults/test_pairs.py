"""From any models to any other: autogenerate writes what the lint accepts, what runs, leaves no drift, and goes back."""

import re
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, seed, settings

from local.postgres import Server
from tests.faults.pairs.bench import Bench
from tests.faults.pairs.catalog import difference
from tests.faults.pairs.models import Models, pairs
from tests.rounds import rounds
