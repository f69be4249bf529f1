SELECT
  id
FROM {df}
WHERE id >
