"""What a principal may use: decided here, as pure functions and plans that are data; stored by adapters."""
