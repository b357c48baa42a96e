CREATE TABLE organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE INDEX organizations_name_idx ON organizations (name);
CREATE INDEX organizations_not_deleted_idx ON organizations (deleted_at) WHERE deleted_at IS NULL;

CREATE TRIGGER organizations_set_updated_at
    BEFORE UPDATE ON organizations
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

COMMENT ON TABLE organizations IS 'Companies that run factories';
COMMENT ON COLUMN organizations.id IS 'Primary key: a random UUID, version 4; uuidv7() from PostgreSQL 18 on';
COMMENT ON COLUMN organizations.name IS 'The name that people read';
COMMENT ON COLUMN organizations.created_at IS 'When the row was inserted';
COMMENT ON COLUMN organizations.updated_at IS 'When the row was last changed; set by a trigger';
COMMENT ON COLUMN organizations.deleted_at IS 'When the organization was deleted; null while it is in use';
