"""Questions to Azure before the first `pulumi up`: each is free, and changes nothing."""
