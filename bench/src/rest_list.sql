CREATE FUNCTION minted(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex(1900000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid;
INSERT INTO department (id, domain_id, name, functions, created_at, updated_at)
    SELECT minted(0), id, 'bench', 127, now(), now() FROM domain;
INSERT INTO department (id, domain_id, parent_id, name, functions, created_at, updated_at)
    SELECT minted(100000000 + n), domain_id, id, 'below' || n, 127, now(), now()
      FROM department, generate_series(1, {departments}) AS n WHERE name = 'top';
CREATE TABLE inside AS
    SELECT row_number() OVER (ORDER BY id) - 1 AS place, id FROM department WHERE name <> 'bench';
CREATE INDEX ON inside (place);
ANALYZE inside;
INSERT INTO account (id, domain_id, department_id, local_part, display_name, status, functions, plan_id,
                     created_at, updated_at)
    SELECT minted(n), domain.id,
           CASE WHEN n % ({users} / 50) = 1 THEN minted(0) ELSE inside.id END, 'user' || n,
           (ARRAY['Anna', 'Peter', 'Maria', 'Jörg', 'Ivan', 'Lena', 'Olga', 'Karl', 'Susanne', 'Émile',
                  'Иван'])[1 + n % 11] || ' '
           || (ARRAY['Huber', 'Müller', 'Schmidt', 'Petrov', 'Gruber', 'Wagner', 'Bauer', 'Rossi',
                     'Novak', 'Smith', 'Jones', 'Garcia', 'Berger'])[1 + n % 13]
           || CASE WHEN n % ({users} / 20) = 2 THEN 'quist' ELSE '' END
           || CASE WHEN n % 100 = 7 THEN 'strand' ELSE '' END,
           CASE WHEN n % 20 = 3 THEN 2 ELSE 1 END, 127, plan.id, now(), now()
      FROM domain CROSS JOIN plan CROSS JOIN generate_series(1, {users}) AS n
      LEFT JOIN inside ON n % 4 = 2 AND place = (n / 4) % (1 + {departments})
     WHERE plan.name = 'standard';
INSERT INTO domain_name SELECT 'domain' || n || '.example', minted(n) FROM generate_series(1, {domains}) AS n;
INSERT INTO domain (id, name, functions, created_at, updated_at)
    SELECT minted(n), 'domain' || n || '.example', 127, now(), now() FROM generate_series(1, {domains}) AS n;
INSERT INTO allowance (id, domain_id) SELECT minted(n), minted(n) FROM generate_series(1, {domains}) AS n;
INSERT INTO allowance (id, domain_id) SELECT id, domain_id FROM department ON CONFLICT DO NOTHING;
UPDATE allowance SET users = again.users, departments = again.departments
  FROM allowance_recount AS again WHERE again.id = allowance.id AND again.users > 0;
SELECT audit_partition(now() - n * interval '1 month') FROM generate_series(1, 6) AS n;
INSERT INTO audit_event (id, at, kind, actor_kind, actor_id, action, resource, resource_id, domain_id,
                         department_id, user_id, after, request_id)
    SELECT encode(substr(uuid_send(audit_floor(at)), 1, 6) || substr(uuid_send(gen_random_uuid()), 7),
                  'hex')::uuid,
           at, 'change', 'user', actor.id, CASE WHEN event.n % 8 = 3 THEN 'delete' ELSE 'update' END,
           CASE WHEN event.n % 20 = 5 THEN 'group' ELSE 'user' END, gen_random_uuid(), actor.domain_id,
           inside.id, gen_random_uuid(), '{}', 'bench'
      FROM (SELECT n, now() - random() * interval '180 days' AS at
              FROM generate_series(1, {users}) AS n ORDER BY at) AS event
      JOIN account AS actor ON local_part = CASE WHEN event.n % 2 = 0 THEN 'admin' ELSE 'head' END
      LEFT JOIN inside ON event.n % 4 = 2 AND place = (event.n / 4) % (1 + {departments});
DROP TABLE inside;
DROP FUNCTION minted;
VACUUM ANALYZE
