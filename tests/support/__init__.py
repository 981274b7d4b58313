"""What tests share: clocks, running services, and ways to ask them."""
