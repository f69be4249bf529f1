"""The Spark engine: classic, Connect, Databricks Connect, and Sail, which speaks Spark's protocol without Java."""
