CREATE TABLE factories (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    location varchar(500),
    timezone varchar(100) NOT NULL DEFAULT 'UTC',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE INDEX factories_organization_id_idx ON factories (organization_id);
CREATE INDEX factories_not_deleted_idx ON factories (deleted_at) WHERE deleted_at IS NULL;

CREATE TRIGGER factories_set_updated_at
    BEFORE UPDATE ON factories
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

COMMENT ON TABLE factories IS 'Sites of an organization, each in one time zone';
COMMENT ON COLUMN factories.id IS 'Primary key: a random UUID, version 4; uuidv7() from PostgreSQL 18 on';
COMMENT ON COLUMN factories.organization_id IS 'The organization that runs the factory; its deletion deletes the factory';
COMMENT ON COLUMN factories.name IS 'The name that people read';
COMMENT ON COLUMN factories.location IS 'Postal address or another description of where it is';
COMMENT ON COLUMN factories.timezone IS 'Name in the IANA time zone database: Europe/Berlin';
COMMENT ON COLUMN factories.metadata IS 'Whatever else is known about the factory; a JSON object';
COMMENT ON COLUMN factories.created_at IS 'When the row was inserted';
COMMENT ON COLUMN factories.updated_at IS 'When the row was last changed; set by a trigger';
COMMENT ON COLUMN factories.deleted_at IS 'When the factory was deleted; null while it is in use';
