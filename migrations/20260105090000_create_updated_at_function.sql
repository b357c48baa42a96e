-- Sets updated_at whenever a row changes. Each table has a trigger that calls it.
CREATE FUNCTION update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION update_updated_at_column() IS
    'Trigger function: sets updated_at to the time of the transaction that changes the row';
