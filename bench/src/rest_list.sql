CREATE FUNCTION minted(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex(1900000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid;
INSERT INTO department (id, domain_id, name, functions, created_at, updated_at)
    SELECT minted(0), id, 'bench', 127, now(), now() FROM domain;
INSERT INTO account (id, domain_id, department_id, local_part, display_name, status, functions, plan_id,
                     created_at, updated_at)
    SELECT minted(n), domain.id, CASE WHEN n % ({users} / 50) = 1 THEN minted(0) END, 'user' || n,
           (ARRAY['Anna', 'Peter', 'Maria', 'Jörg', 'Ivan', 'Lena', 'Olga', 'Karl', 'Susanne', 'Émile',
                  'Иван'])[1 + n % 11] || ' '
           || (ARRAY['Huber', 'Müller', 'Schmidt', 'Petrov', 'Gruber', 'Wagner', 'Bauer', 'Rossi',
                     'Novak', 'Smith', 'Jones', 'Garcia', 'Berger'])[1 + n % 13]
           || CASE WHEN n % ({users} / 20) = 2 THEN 'quist' ELSE '' END
           || CASE WHEN n % 100 = 7 THEN 'strand' ELSE '' END,
           CASE WHEN n % 20 = 3 THEN 2 ELSE 1 END, 127, plan.id, now(), now()
      FROM domain, plan, generate_series(1, {users}) AS n WHERE plan.name = 'standard';
INSERT INTO domain_name SELECT 'domain' || n || '.example', minted(n) FROM generate_series(1, {domains}) AS n;
INSERT INTO domain (id, name, functions, created_at, updated_at)
    SELECT minted(n), 'domain' || n || '.example', 127, now(), now() FROM generate_series(1, {domains}) AS n;
INSERT INTO allowance (id, domain_id) SELECT minted(n), minted(n) FROM generate_series(1, {domains}) AS n;
DROP FUNCTION minted;
VACUUM ANALYZE
