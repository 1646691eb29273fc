"""A small JSON Schema validator for the keywords our schemas use, so that the tests need no further package."""

import re
from collections.abc import Iterator

KNOWN = {
    *("$schema", "$defs", "$ref", "type", "properties", "required", "additionalProperties", "propertyNames", "items"),
    *("anyOf", "oneOf", "enum", "const", "pattern", "minLength", "minimum", "maximum", "exclusiveMinimum"),
    *("title", "description", "default", "examples", "format", "writeOnly"),
}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def errors(value: object, schema: dict[str, object], document: dict[str, object], path: str = "") -> Iterator[str]:
    """Give what is wrong with a value. Fails on a keyword it does not know."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        target = document["$defs"][str(schema["$ref"]).removeprefix("#/$defs/")]  # type: ignore[index]
        yield from errors(value, target, document, path)
    if "type" in schema and not is_type(value, str(schema["type"])):
        yield f"{path}: not {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:  # type: ignore[operator]
        yield f"{path}: none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']}"
    yield from _branch_errors(value, schema, document, path)
    yield from _content_errors(value, schema, document, path)


def _branch_errors(value: object, schema: dict[str, object], document: dict[str, object], path: str) -> Iterator[str]:
    for keyword in {"anyOf", "oneOf"} & set(schema):
        fitting = sum(not list(errors(value, branch, document, path)) for branch in schema[keyword])  # type: ignore[attr-defined]
        if fitting == 0 or (keyword == "oneOf" and fitting > 1):
            yield f"{path}: fits {fitting} of {keyword}"


def _content_errors(value: object, schema: dict[str, object], document: dict[str, object], path: str) -> Iterator[str]:
    if isinstance(value, str):
        if not re.search(str(schema.get("pattern", "")), value) or len(value) < schema.get("minLength", 0):  # type: ignore[operator]
            yield f"{path}: does not match"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high or value <= schema.get("exclusiveMinimum", value - 1):  # type: ignore[operator]
            yield f"{path}: out of range"
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from errors(item, schema["items"], document, f"{path}[{index}]")  # type: ignore[arg-type]
    elif isinstance(value, dict):
        yield from _object_errors(value, schema, document, path)


def _object_errors(
    value: dict[str, object], schema: dict[str, object], document: dict[str, object], path: str
) -> Iterator[str]:
    properties: dict[str, dict[str, object]] = schema.get("properties", {})  # type: ignore[assignment]
    further = schema.get("additionalProperties", True)
    for key in schema.get("required", []):  # type: ignore[attr-defined]
        if key not in value:
            yield f"{path}: {key} missing"
    for key, inner in value.items():
        if "propertyNames" in schema:
            yield from errors(key, schema["propertyNames"], document, f"{path}.{key}")  # type: ignore[arg-type]
        if key in properties:
            yield from errors(inner, properties[key], document, f"{path}.{key}")
        elif further is False:
            yield f"{path}.{key}: unknown"
        elif isinstance(further, dict):
            yield from errors(inner, further, document, f"{path}.{key}")


def is_type(value: object, name: str) -> bool:
    if name in {"number", "integer"}:
        return isinstance(value, int | float if name == "number" else int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])
