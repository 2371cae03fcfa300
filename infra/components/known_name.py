"""The names of resources as a preview knows them."""

import pulumi


def known_name(resource: pulumi.CustomResource) -> pulumi.Output[str]:
    """Return the name of a resource in Azure, the end of its id.

    In a preview an update leaves the id known, and the output `name` unknown: a child of that parent would be reported
    as replaced, and `pulumi up` would end, where the child is protected.
    """
    return resource.id.apply(lambda resource_id: resource_id.rpartition("/")[2])
