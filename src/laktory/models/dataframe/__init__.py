"""Steps, expressions and schemas of dataframes. Import from the modules, or from `laktory.models`."""
