"""The policy pack on Pulumi's own engine: a preview with planted faults is refused, and names each of them.

Both stacks pass it: each lifecycle runs with the pack (test_lifecycle.py).
"""

import tempfile
from pathlib import Path

import pytest

from tests.infra.mutant_project import Mutation, mutate
from tests.infra.pulumi_engine.conftest import require_engine
from tests.infra.pulumi_engine.lifecycle import POLICY_PACK
from tests.infra.pulumi_engine.project import Result, pulumi_project
from tests.infra.session_cache import SessionCache
from tests.infra.simulation.cloud import Cloud

COMPONENTS = "infra/components"
# A fault in the program for each rule.
FAULTS = {
    "store-accepts-no-key": Mutation(f"{COMPONENTS}/store.py", "disable_local_auth=True", "disable_local_auth=False"),
    "store-requires-tls": Mutation(f"{COMPONENTS}/store.py", '"Tls12"', '"Tls11"'),
    "store-has-continuous-backups": Mutation(
        f"{COMPONENTS}/store.py",
        "cosmosdb.ContinuousModeBackupPolicyArgs(",
        '(lambda **_: cosmosdb.PeriodicModeBackupPolicyArgs(type="Periodic"))(',
    ),
    "store-has-one-writer": Mutation(
        f"{COMPONENTS}/store.py", "enable_multiple_write_locations=False", "enable_multiple_write_locations=True"
    ),
    "store-of-regions-loses-no-event": Mutation(
        f"{COMPONENTS}/store.py", "[second.location] if second else []", '["swedencentral"]'
    ),
    "production-store-is-private-and-protected": Mutation(
        f"{COMPONENTS}/store.py", '"Disabled" if production else "Enabled"', '"Enabled"'
    ),
    "production-data-is-protected": Mutation(
        f"{COMPONENTS}/store.py", "protect=args.context.stack.production", "protect=False"
    ),
    "partition-key-has-a-version": Mutation(f"{COMPONENTS}/store.py", "version=2", "version=1"),
    "vault-keeps-what-was-deleted": Mutation(
        f"{COMPONENTS}/vault.py", "enable_purge_protection=True", "enable_purge_protection=False"
    ),
    "production-vault-is-private-and-protected": Mutation(
        f"{COMPONENTS}/vault.py", '"Deny" if production else "Allow"', '"Allow"'
    ),
    "registry-accepts-no-password": Mutation(
        f"{COMPONENTS}/registry.py", "admin_user_enabled=False", "admin_user_enabled=True"
    ),
    "workspace-accepts-no-key": Mutation(
        f"{COMPONENTS}/observability.py", "disable_local_auth=True", "disable_local_auth=False"
    ),
    "production-registry-is-private": Mutation(f"{COMPONENTS}/registry.py", '"Premium" if', '"Standard" if'),
    "production-environment-is-internal": Mutation(f"{COMPONENTS}/environment.py", "internal=True", "internal=False"),
    "app-is-probed": Mutation(f"{COMPONENTS}/service.py", '_probe("Liveness"', '_probe("Startup"'),
    "app-refuses-plain-http": Mutation(f"{COMPONENTS}/service.py", "allow_insecure=False", "allow_insecure=True"),
    "app-reads-secrets-from-the-vault": Mutation(f"{COMPONENTS}/service.py", "key_vault_url=secret.url", 'value="x"'),
    "subnets-are-closed-to-the-internet": Mutation(
        f"{COMPONENTS}/network.py", "prefix=rule.source", 'prefix="Internet"'
    ),
    "role-is-one-of-a-workload": Mutation(
        f"{COMPONENTS}/roles.py", "PrincipalType.SERVICE_PRINCIPAL", "PrincipalType.USER"
    ),
    "lock-prevents-deletion": Mutation(f"{COMPONENTS}/locks.py", '"CanNotDelete"', '"ReadOnly"'),
    "resource-has-its-tags": Mutation("infra/stack.py", '"managed-by": "pulumi"', '"managed-by": "hand"'),
}


def preview_with_faults() -> Result:
    """Return the preview of production with all faults."""
    with tempfile.TemporaryDirectory() as folder, pulumi_project(Path(folder), "prod", Cloud()) as project:
        for mutation in FAULTS.values():
            mutate(project.folder, mutation)
        return project.operate("preview", *POLICY_PACK, succeeds=False)


@pytest.fixture(scope="module")
def preview(session_cache: SessionCache) -> Result:
    """The preview of production with a planted fault for each rule."""
    require_engine()
    return session_cache.get("policy pack", preview_with_faults)


@pytest.mark.parametrize("rule", FAULTS)
def test_preview_names_the_planted_fault(preview: Result, rule: str) -> None:
    """Every rule of the pack finds the fault that was planted for it."""
    assert preview.violations.get(rule)


def test_preview_with_faults_is_refused(preview: Result) -> None:
    """The violations are mandatory: the command fails. There are no others."""
    assert preview.exit_code
    assert FAULTS.keys() == preview.violations.keys()
    assert "mandatory" in preview.output
