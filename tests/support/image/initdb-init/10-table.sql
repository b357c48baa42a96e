CREATE TABLE IF NOT EXISTS init_runs (script text NOT NULL, ran_at timestamptz NOT NULL DEFAULT now());
INSERT INTO init_runs (script) VALUES ('10-table.sql');
