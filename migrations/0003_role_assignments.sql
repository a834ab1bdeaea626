-- Role assignments become things of the API: with an id, a time, pages of those of a domain, and
-- departments that are there. Assignments of departments that were never there are of no use.
DELETE FROM role_assignment WHERE department_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM department
     WHERE department.domain_id = role_assignment.domain_id AND department.id = department_id);
ALTER TABLE role_assignment
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD CONSTRAINT role_assignment_pkey PRIMARY KEY (id),
    ADD CONSTRAINT role_assignment_department_id_fkey FOREIGN KEY (domain_id, department_id)
        REFERENCES department (domain_id, id);
ALTER TABLE role_assignment ALTER COLUMN id DROP DEFAULT, ALTER COLUMN created_at DROP DEFAULT;
CREATE INDEX role_assignment_domain_id_idx ON role_assignment (domain_id, id);
CREATE INDEX role_assignment_department_id_idx ON role_assignment (department_id, id)
    WHERE department_id IS NOT NULL;
