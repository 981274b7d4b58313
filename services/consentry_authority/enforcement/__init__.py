"""The authority's side of enforcement, without I/O: what each guard follows, and what it is owed."""
