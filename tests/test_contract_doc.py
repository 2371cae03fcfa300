"""The contract page: its routes, parameters, headers and error codes are those of the OpenAPI document."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "contract.md").read_text()
# A block quote names planned behaviour, which the OpenAPI document does not have yet.
PRESENT_CONTRACT = "\n".join(line for line in PAGE.splitlines() if not line.startswith(">"))
OPENAPI = document()

ROUTE = re.compile(r"`((?:GET|POST|PUT|DELETE) /[^`\s]+)`")
SECTION = re.compile(r"^## (\d+)\. ", re.MULTILINE)


def objects(value: object) -> Iterator[Mapping[str, object]]:
    """Every JSON object below a value, and the value itself."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from objects(each)


def names_in(location: str) -> set[str]:
    """The names of all parameters in this location: query, header or path."""
    return {str(each["name"]) for each in objects(OPENAPI) if each.get("in") == location and "schema" in each}


def response_headers() -> set[str]:
    """The names of all headers of responses."""
    return {
        name
        for each in objects([OPENAPI["paths"], OPENAPI["components"]])
        if "description" in each and isinstance(headers := each.get("headers"), Mapping)
        for name in headers
    }


def first_cells(heading: str) -> list[str]:
    """The code in the first column of the table under this header row."""
    rows = PRESENT_CONTRACT.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()
    return [code for row in rows[2:] for code in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_contract_sections_are_numbered_like_the_design() -> None:
    """Code and tests refer to the twelve section numbers."""
    assert [str(number) for number in range(1, 13)] == SECTION.findall(PAGE)


def test_contract_routes_equal_those_of_openapi() -> None:
    """Every route is in the contract, and the contract has no other."""
    paths = OPENAPI["paths"]
    assert isinstance(paths, Mapping)
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    assert routes == set(ROUTE.findall(PRESENT_CONTRACT))


def test_contract_parameters_equal_those_of_openapi() -> None:
    """Every query parameter, and each header with data about people, has a row."""
    assert names_in("query") | {"person", "alternativeSubject"} == set(first_cells("parameter | rule"))


def test_contract_request_headers_include_those_of_openapi() -> None:
    """Every request header of the OpenAPI document is named."""
    assert [] == [name for name in sorted(names_in("header")) if f"`{name}" not in PRESENT_CONTRACT]


def test_contract_response_headers_equal_those_of_openapi() -> None:
    """Pages and errors have exactly the documented headers; `Allow` is part of every 405, and in no operation."""
    in_errors = {"WWW-Authenticate", "Retry-After", "Location"}

    assert response_headers() - in_errors == set(first_cells("response header | value"))
    assert [] == [name for name in in_errors | {"Allow"} if f"`{name}`" not in PRESENT_CONTRACT]


def test_contract_errors_equal_the_problems_of_the_service() -> None:
    """Status and code of each error are equal. All codes in the OpenAPI document are among them."""
    errors = {
        (int(status), code)
        for status, code in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PRESENT_CONTRACT, re.MULTILINE)
    }
    components = OPENAPI["components"]
    assert isinstance(components, Mapping)
    texts = [str(each.get("description", "")) for each in objects(components["responses"])]
    documented_codes = {code for text in texts for code in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text)}

    assert {(kind.status, code) for code, kind in KINDS.items()} == errors
    assert documented_codes <= {code for _, code in errors}


def test_contract_names_every_member_of_a_problem() -> None:
    """These are the members of RFC 9457 and those of the service."""
    problem = next(each for each in objects(OPENAPI["components"]) if "Problem" in each and "Fault" in each)["Problem"]
    assert isinstance(problem, Mapping)
    members = problem["properties"]
    assert isinstance(members, Mapping)

    assert [] == [name for name in members if f"`{name}`" not in PRESENT_CONTRACT]


def test_contract_scopes_equal_those_of_the_domain() -> None:
    """The contract names every fixed scope."""
    scopes = re.findall(r'^SCOPE_\w+ = "([^"]+)"', SCOPES, re.MULTILINE)

    assert len(scopes) > 3
    assert [] == [scope for scope in scopes if f"`{scope}`" not in PRESENT_CONTRACT]


SCOPES = (Path(__file__).parents[1] / "service" / "eventfeed" / "domain" / "principal.py").read_text()
