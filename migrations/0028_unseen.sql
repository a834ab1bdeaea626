-- Security events of the action `hide` (decision 0038): somebody asked for what is there, out of the
-- scope, and was told that it is not. They are for whoever administers the place of the thing. Who asked
-- would learn by them that it is there; whom it is about sees what was done, not who looked.
ALTER POLICY audit_event_tenant_select ON audit_event
    USING (domain_id = ANY ((SELECT reached('domains'))::uuid[])
        OR department_id = ANY ((SELECT reached('departments'))::uuid[])
        OR action <> 'hide'
           AND (actor_id = (SELECT reached_user()) OR user_id = (SELECT reached_user())));
