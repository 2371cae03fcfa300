"""`eventfeed store cost`: its table is the one of the documentation, and invalid numbers are refused."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from eventfeed.cli.commands import main

PAGE = (Path(__file__).parents[3] / "docs" / "cosmos.md").read_text()
LOAD = ("--events-a-second", "100", "--bytes", "1234", "--retention-days", "90", "--processes", "2")


def cost(*arguments: str) -> Result:
    """The result of the command."""
    return CliRunner().invoke(main, ["store", "cost", *arguments])


def test_table_of_the_documentation_is_the_output_of_its_command() -> None:
    """The command stands above the table."""
    (command,) = re.findall(r"^eventfeed (store cost .*)$", PAGE, re.MULTILINE)
    result = CliRunner().invoke(main, shlex.split(command))

    assert 0 == result.exit_code
    assert result.output in PAGE


def test_json_has_the_figures_of_the_table() -> None:
    """Each events a second is an object on a line."""
    result = cost(*LOAD, "--events-a-second", "10", "--json")
    prices = [json.loads(line) for line in result.output.splitlines()]

    assert [100, 10] == [each["events_a_second"] for each in prices]
    for price in prices:
        assert price["dollars_a_month"] == pytest.approx(sum(price["dollars"].values()), abs=0.05)
        assert price["request_units_a_second"] == pytest.approx(sum(price["request_units"].values()), abs=0.5)
        assert isinstance(price["partitions"], int)
        assert price["first_limit"].endswith("of `commits`")
        assert price["first_limit_events_a_second"] > 1_000


def test_explanation_describes_each_row_and_names_the_source_of_each_rule() -> None:
    """Each row of the table has its computation."""
    table, _, explanation = cost(*LOAD, "--explain").output.partition("\n\n")
    titles = [line.split("|")[1].strip() for line in table.splitlines()[2:]]

    assert [] == [title for title in titles if f"- {title}: " not in explanation]
    assert "[https://learn.microsoft.com/azure/cosmos-db/understand-request-unit-consumption]" in explanation


def test_partitions_of_an_account_replace_those_of_the_model() -> None:
    """The lookup asks each of them."""
    price = json.loads(cost(*LOAD, "--partitions", "48", "--json").output)

    assert 48 == price["partitions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--events-a-second'"),
        (("--events-a-second", "0"), "is not from"),
        (("--events-a-second", "-1"), "is not from"),
        (("--events-a-second", "nan"), "nan is not from 0.001 to 1e+06"),
        (("--events-a-second", "inf"), "is not from"),
        (("--events-a-second", "many"), "is not a number"),
        ((*LOAD, "--bytes", "0"), "'--bytes'"),
        ((*LOAD, "--bytes", "nan"), "'--bytes'"),
        ((*LOAD, "--bytes", "2000000"), "'--bytes'"),
        ((*LOAD, "--retention-days", "0"), "'--retention-days'"),
        ((*LOAD, "--retention-days", "inf"), "'--retention-days'"),
        ((*LOAD, "--retention-days", "1e9"), "'--retention-days'"),
        ((*LOAD, "--processes", "0"), "'--processes'"),
        ((*LOAD, "--processes", "1.5"), "'--processes'"),
        ((*LOAD, "--partitions", "0"), "'--partitions'"),
    ],
)
def test_invalid_number_is_refused_with_its_option(arguments: tuple[str, ...], message: str) -> None:
    """The exit code is 2, as for every wrong use of a command."""
    result = cost(*arguments)

    assert 2 == result.exit_code
    assert message in result.output


def test_smallest_and_largest_loads_have_a_price() -> None:
    """No number within the limits makes the model fail."""
    small = cost("--events-a-second", "0.001", "--bytes", "1", "--retention-days", "0.05", "--processes", "1", "--json")
    large = cost(
        *(
            "--events-a-second",
            "1000000",
            "--bytes",
            "131072",
            "--retention-days",
            "3650",
            "--processes",
            "100",
            "--json",
        )
    )

    assert 0 < json.loads(small.output)["dollars_a_month"] < json.loads(large.output)["dollars_a_month"]
