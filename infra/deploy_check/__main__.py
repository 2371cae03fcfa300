"""The command `make deploy-check STACK=dev`. It reports every finding, each with the command that corrects it.

The exit code is 0 if a deployment may start, 1 if it would fail, and 2 if a question has no answer.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

import check_dates
from deploy_check.finding import Ask, AskError, Deployment, Finding, Kind, ask
from deploy_check.questions import QUESTIONS
from policy.stack_file import is_production, read_settings

PROJECT = Path(__file__).parents[2]
LOCATION = "azure-native:location"


def main(arguments: Sequence[str] | None = None, ask: Ask = ask) -> int:
    """Print the findings for a stack. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Ask Azure before a deployment; nothing is created or changed.")
    parser.add_argument("stack", help="the name of the stack, which has a file Pulumi.STACK.yaml")
    stack = parser.parse_args(arguments).stack
    if not (PROJECT / f"Pulumi.{stack}.yaml").exists():
        parser.error(f"there is no Pulumi.{stack}.yaml: pulumi stack init {stack}")
    findings = [*account_findings(stack, ask), *calendar_findings(datetime.now(UTC).date())]
    sys.stdout.writelines(f"{each.kind}: {each.text}\n    {each.command}\n" for each in findings)
    kinds = {each.kind for each in findings}
    sys.stdout.write("Azure refuses nothing that was asked.\n" if not kinds - {Kind.NOTE} else "")
    return 1 if Kind.FAULT in kinds else 2 if Kind.NO_ANSWER in kinds else 0


def account_findings(stack: str, ask: Ask) -> Iterator[Finding]:
    """Yield the findings about the account, and those of each question in its subscription."""
    target = os.environ.get("ARM_SUBSCRIPTION_ID")
    try:
        account = ask("account", "show")
        deployment = _deployment(stack, account["id"], account["user"]["name"])
        state = account["state"]
    except (AskError, KeyError, TypeError) as error:
        yield _no_account(error)
        return
    if target and target.casefold() != deployment.subscription.casefold():
        text = f"ARM_SUBSCRIPTION_ID is {target}, but the signed-in subscription is {deployment.subscription}"
        yield Finding(kind=Kind.FAULT, text=text, command=f"az account set --subscription {target}")
    if state != "Enabled":
        text = f"the subscription {deployment.subscription} is {state}, not Enabled"
        yield Finding(kind=Kind.FAULT, text=text, command="az account list --output table   # and choose another one")
    for question in QUESTIONS:
        try:
            yield from question(deployment, ask)  # also what it finds before a part without an answer
        except (AskError, KeyError, TypeError, ValueError) as error:
            yield _no_answer(question.__name__, question.__doc__ or "", error)


def calendar_findings(today: date) -> Iterator[Finding]:
    """Yield a note for what ends soon, and a fault for what has ended."""
    entries = json.loads(check_dates.FILE.read_text())
    for each in check_dates.near_entries(entries, today, days=check_dates.NOTICE_DAYS):
        has_ended = each["kind"] == "announced" and date.fromisoformat(each["end"]) < today
        kind = Kind.FAULT if has_ended else Kind.NOTE
        yield Finding(kind=kind, text=f"{each['subject']}: {each['end']}, {each['way_out']}", command="make calendar")


def _deployment(stack: str, subscription: str, account: str) -> Deployment:
    default = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"][LOCATION]["value"]
    settings = read_settings(stack)
    names = {name.rpartition(":")[2]: str(value) for name, value in settings.items()}
    return Deployment(
        stack=stack,
        production=is_production(stack),
        location=str(settings.get(LOCATION, default)),
        second_location=names.get("secondLocation", ""),
        domain=names.get("customDomain", ""),
        certificate=names.get("domainCertificate", ""),
        subscription=subscription,
        account=account,
    )


def _no_account(error: Exception) -> Finding:
    """Return a fault if no account is signed in; another error is no answer."""
    if "az login" in str(error):
        return Finding(kind=Kind.FAULT, text=f"no account is signed in: {_reason(error)}", command="az login")
    return Finding(kind=Kind.NO_ANSWER, text=f"no question can be asked: {_reason(error)}", command="az account show")


def _no_answer(name: str, meaning: str, error: Exception) -> Finding:
    text = f"Azure did not answer whether “{meaning}” ({name}): {_reason(error)}"
    return Finding(kind=Kind.NO_ANSWER, text=text, command="make deploy-check   # again, or as another account")


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, AskError) else f"an unexpected answer, without {error}"


if __name__ == "__main__":
    sys.exit(main())
