"""MNIST and CIFAR-10 as their archives hold them; skipped where the archives are not there."""

from __future__ import annotations

from itertools import islice

import pytest

from figment.core.types import Record
from figment.data.outcome import process
from figment.data.plan import BuildConfig, make_plan

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("name", "total", "shape", "first"),
    [
        ("mnist-png.zip", 70_000, (28, 28, 1), ("test", "0")),
        ("cifar10-jpeg.tar.xz", None, (32, 32, 3), ("train", "airplane")),
    ],
)
def test_the_archives_are_read_as_they_are(shared_data, name, total, shape, first):
    plan = make_plan([str(shared_data / name)], BuildConfig())
    assert plan.total == total
    assert plan.recipe["steps"]["resize_crop"] == {"size": f"{shape[0]}x{shape[1]}"}
    records = list(islice(plan.records(), 50))
    assert isinstance(records[0], Record) and (records[0].split, records[0].label) == first
    rows = [outcome.row for outcome in process(plan.chain, 0, records)]
    assert {(row.status, row.height, row.width) for row in rows} == {("accepted", *shape[:2])}
    assert max(row.channels or 0 for row in rows) == shape[2]  # a few of CIFAR-10's are grey
