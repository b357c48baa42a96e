-- As many rows, and of the same kind, as the sample project's seeds; the
-- gateway passwords are already encrypted (made-up bytes of the right length).
INSERT INTO organizations (id, name) VALUES
    ('6f1c1c5e-0001-4000-8000-000000000001', 'Müller Fertigungstechnik GmbH'),
    ('6f1c1c5e-0001-4000-8000-000000000002', '北海道精密工業株式会社');

INSERT INTO factories (id, organization_id, name, location, timezone, metadata) VALUES
    ('6f1c1c5e-0002-4000-8000-000000000001', '6f1c1c5e-0001-4000-8000-000000000001', 'Werk Stuttgart', 'Stuttgart, Germany', 'Europe/Berlin', '{"shifts": 3, "area_m2": 18400}'),
    ('6f1c1c5e-0002-4000-8000-000000000002', '6f1c1c5e-0001-4000-8000-000000000001', 'Planta Querétaro', 'Querétaro, Mexico', 'America/Mexico_City', '{"shifts": 2}'),
    ('6f1c1c5e-0002-4000-8000-000000000003', '6f1c1c5e-0001-4000-8000-000000000002', '札幌工場', '札幌市, 日本', 'Asia/Tokyo', '{"shifts": 3, "certificates": ["ISO 9001", "ISO 14001"]}'),
    ('6f1c1c5e-0002-4000-8000-000000000004', '6f1c1c5e-0001-4000-8000-000000000002', 'Salt Lake Assembly', 'Salt Lake City, USA', 'America/Denver', '{}');

INSERT INTO gateways (id, factory_id, gateway_id, name, url, email, password_encrypted, model, firmware_version, last_seen_at, metadata, deleted_at)
SELECT ('6f1c1c5e-0003-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       ('6f1c1c5e-0002-4000-8000-' || lpad(factory::text, 12, '0'))::uuid,
       gateway_id, name,
       'ws://' || lower(gateway_id) || '.gateways.example:8080', lower(gateway_id) || '@gateways.example',
       translate(encode(sha256(convert_to(gateway_id, 'UTF8')) || sha256(convert_to(name, 'UTF8')) || sha256('password'), 'base64'), E'\n', ''),
       model, firmware, now() - age, metadata::jsonb, now() - deleted
FROM (VALUES
    (1, 1, 'GW-STR-001', 'Halle 1 – Eingang', 'MT-500', '4.2.1', interval '2 minutes', '{"channel": 36, "antennas": 4}', NULL::interval),
    (2, 1, 'GW-STR-002', 'Halle 1 – Presse', 'MT-500', '4.2.1', interval '1 minute', '{"channel": 44}', NULL),
    (3, 1, 'GW-STR-003', 'Halle 2 – Lackiererei', 'MT-300', '3.9.0', interval '3 days', '{"ex_zone": 2, "tags": ["atex"]}', NULL),
    (4, 2, 'GW-QRO-001', 'Línea de montaje', 'MT-500', '4.2.0', interval '5 minutes', '{}', NULL),
    (5, 2, 'GW-QRO-002', 'Almacén', 'MT-300', '3.8.7', interval '90 days', '{"replaced": true}', interval '30 days'),
    (6, 2, 'GW-QRO-002', 'Almacén (nuevo)', 'MT-500', '4.2.1', interval '4 minutes', '{"replaces": "MT-300"}', NULL),
    (7, 2, 'GW-QRO-003', 'Patio', NULL, NULL, interval '1 hour', '{}', NULL),
    (8, 3, 'GW-SPK-001', '第一ライン', 'MT-700', '5.0.0', interval '30 seconds', '{"channel": 149, "wifi": {"standard": "802.11ax"}}', NULL),
    (9, 3, 'GW-SPK-002', '倉庫', 'MT-700', '5.0.0', interval '45 seconds', '{"channel": 157}', NULL),
    (10, 3, 'GW-SPK-003', '出荷', 'MT-500', '4.2.1', NULL, '{}', NULL),
    (11, 4, 'GW-SLC-001', 'Dock door 1', 'MT-300', '3.9.0', interval '6 minutes', '{"poe": true}', NULL),
    (12, 4, 'GW-SLC-002', 'Dock door 2', 'MT-300', '3.9.0', interval '7 minutes', '{"poe": true}', NULL)
) AS seed (n, factory, gateway_id, name, model, firmware, age, metadata, deleted);
