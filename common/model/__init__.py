"""Values of the gateway's world, without behaviour: they name no vendor and import nothing of ours."""
