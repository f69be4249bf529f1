SELECT *
FROM {df}
