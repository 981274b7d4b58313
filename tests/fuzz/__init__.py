"""What takes in texts and bytes from strangers, under a coverage-guided fuzzer; see `targets`."""
