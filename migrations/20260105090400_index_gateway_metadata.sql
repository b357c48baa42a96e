-- For containment queries: metadata @> '{"network": {"vlan": 120}}'.
CREATE INDEX gateways_metadata_idx ON gateways USING gin (metadata jsonb_path_ops);
