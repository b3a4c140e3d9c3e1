"""The stores in SQL, written once for every engine that speaks SQLite's dialect: SQLite itself and D1."""
