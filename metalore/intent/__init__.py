"""Intent: what people see, say and do, as one embedding."""
