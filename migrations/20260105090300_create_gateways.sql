CREATE TABLE gateways (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    factory_id uuid NOT NULL REFERENCES factories (id) ON DELETE CASCADE,
    gateway_id varchar(255) NOT NULL,
    name varchar(255) NOT NULL,
    url varchar(500) NOT NULL,
    email varchar(255) NOT NULL,
    password_encrypted text NOT NULL,
    model varchar(100),
    firmware_version varchar(50),
    last_seen_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE INDEX gateways_factory_id_idx ON gateways (factory_id);
-- A device that was deleted can be registered again.
CREATE UNIQUE INDEX gateways_gateway_id_key ON gateways (gateway_id) WHERE deleted_at IS NULL;
CREATE INDEX gateways_last_seen_at_idx ON gateways (last_seen_at);
CREATE INDEX gateways_not_deleted_idx ON gateways (deleted_at) WHERE deleted_at IS NULL;

CREATE TRIGGER gateways_set_updated_at
    BEFORE UPDATE ON gateways
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

COMMENT ON TABLE gateways IS 'Devices that connect a factory''s wireless sensors to the network';
COMMENT ON COLUMN gateways.id IS 'Primary key: a random UUID, version 4; uuidv7() from PostgreSQL 18 on';
COMMENT ON COLUMN gateways.factory_id IS 'The factory where the gateway is; its deletion deletes the gateway';
COMMENT ON COLUMN gateways.gateway_id IS 'The device''s own identifier; unique among gateways that are not deleted';
COMMENT ON COLUMN gateways.name IS 'The name that people read';
COMMENT ON COLUMN gateways.url IS 'The WebSocket address of the gateway: ws:// or wss://, host, port';
COMMENT ON COLUMN gateways.email IS 'The account with which an application logs in to the gateway';
COMMENT ON COLUMN gateways.password_encrypted IS 'That account''s password: base64 of salt, iv, tag and AES-256-GCM ciphertext';
COMMENT ON COLUMN gateways.model IS 'The manufacturer''s name for the model; null when it is unknown';
COMMENT ON COLUMN gateways.firmware_version IS 'As the gateway reports it; null when it is unknown';
COMMENT ON COLUMN gateways.last_seen_at IS 'When the gateway last sent anything; null when it never has';
COMMENT ON COLUMN gateways.metadata IS 'Whatever else is known about the gateway; a JSON object';
COMMENT ON COLUMN gateways.created_at IS 'When the row was inserted';
COMMENT ON COLUMN gateways.updated_at IS 'When the row was last changed; set by a trigger';
COMMENT ON COLUMN gateways.deleted_at IS 'When the gateway was deleted; null while it is in use';
