-- What the stack's database and roles lack, a line each; nothing if they are as 10-roles.sh makes them.
SET client_min_messages = error;
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :'database') AS found \gset
\if :found
\connect :"database"
\else
SELECT format('the database %s is missing; first: docker compose exec db createdb --username=%s %1$s', :'database', current_user);
\endif
WITH role AS (
    SELECT expected.role, pg_authid.*
    FROM (VALUES ('zoo_migrator'), ('zoo_api')) AS expected (role) LEFT JOIN pg_authid ON rolname = expected.role
)
SELECT format('the role %s is missing', role) FROM role WHERE oid IS NULL
UNION ALL
SELECT format('the role %s can''t log in', role) FROM role
WHERE oid IS NOT NULL AND (NOT rolcanlogin OR rolpassword IS NULL OR rolvaliduntil < now() OR rolconnlimit = 0)
UNION ALL
SELECT format('the role %s may not connect to the database %s', role, current_database()) FROM role
WHERE :'found' AND NOT has_database_privilege(oid, current_database(), 'CONNECT')
UNION ALL
SELECT format('the role %s has no %s on the schema public', role, privilege)
FROM role JOIN (VALUES ('zoo_migrator', 'USAGE'), ('zoo_migrator', 'CREATE'), ('zoo_api', 'USAGE')) AS needed (name, privilege)
    ON needed.name = role
WHERE :'found' AND oid IS NOT NULL
    AND NOT coalesce(has_schema_privilege(oid, to_regnamespace('public')::oid, privilege), false)
UNION ALL
SELECT format('the role zoo_api gets no %s on the %s of zoo_migrator', privilege, kind)
FROM (VALUES ('tables', 'r', 'SELECT'), ('tables', 'r', 'INSERT'), ('tables', 'r', 'UPDATE'), ('tables', 'r', 'DELETE'),
    ('sequences', 'S', 'USAGE')) AS needed (kind, code, privilege)
WHERE :'found' AND (SELECT count(oid) FROM role) = 2 AND NOT EXISTS (
    SELECT FROM pg_default_acl, aclexplode(defaclacl) AS granted
    WHERE defaclrole = to_regrole('zoo_migrator') AND defaclnamespace = to_regnamespace('public')
        AND defaclobjtype::text = code AND granted.grantee = to_regrole('zoo_api')
        AND granted.privilege_type = needed.privilege
)
ORDER BY 1;
