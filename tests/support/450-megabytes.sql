-- A database of about 450 MB: ten tables of readings with an index each.
-- The text cannot be compressed.
SELECT format($sql$
    CREATE TABLE readings_%1$s (
        id bigint PRIMARY KEY,
        measured_at timestamptz NOT NULL,
        value double precision NOT NULL,
        payload text NOT NULL
    );
    INSERT INTO readings_%1$s
        SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '1 minute', sin(n),
               (SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 12) i)
        FROM generate_series(1, 88000) n;
    CREATE INDEX ON readings_%1$s (measured_at);
    $sql$, part)
FROM generate_series(1, 10) part \gexec
VACUUM ANALYZE;
CHECKPOINT;
