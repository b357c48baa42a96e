-- {name}
--
-- Runs once, in a transaction of its own, and is never changed after it has been shared: put a
-- correction into a new migration. What cannot run in a transaction (CREATE INDEX CONCURRENTLY)
-- goes alone into a file that begins with `-- no-transaction`.

