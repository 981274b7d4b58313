"""Tables, columns and migrations. A test holds the migrations to the tables."""
