"""The JSON Schema of campaign files, for editors: what the typed models know, in the files' own words.

Files say every number as text to our models; to an editor a number is a number, so both are allowed.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from schemas.campaign_tests import CampaignTest
from schemas.campaigns import Campaign, EventSchema, Group, Partner, Tenant, Theme, UserSchema

_MODELS = (Campaign, Group, Theme, Partner, Tenant, EventSchema, UserSchema, CampaignTest)


def export() -> dict[str, Any]:
    """One schema for any document of a campaign file."""
    _, definitions = models_json_schema([(model, "validation") for model in _MODELS], by_alias=True)
    defs = {name: _for_editors(schema) for name, schema in definitions["$defs"].items()}
    trigger = defs["Trigger"]["properties"]
    trigger["on"] = {"anyOf": [{"type": "string"}, trigger["on"]], "description": "one event type, or a list"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Incentive Stream campaign files",
        "anyOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in _MODELS],
        "$defs": defs,
    }


def _for_editors(schema: Any) -> Any:
    """Durations, dates and digit groups are text in a file."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _for_editors(value) for key, value in schema.items() if key != "format"}
    if found.get("type") in ("integer", "number"):
        found["type"] = [found["type"], "string"]
    return found
