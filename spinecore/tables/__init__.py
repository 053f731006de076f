"""The columns of the tables: name, unit, meaning."""
