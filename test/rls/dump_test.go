package rls

// shape lists everything of the schema, one line each: kind, name, definition.
// Whoever owns it is called owner, unless it is one of Berth's roles.
const shape = `
WITH ours AS (
	SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.relnamespace, c.reloptions,
		n.nspname || '.' || c.relname AS name
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'v', 'S') AND (n.nspname = 'berth' OR n.nspname = 'public' AND c.relname LIKE 'tenant\_%')
), functions AS (
	SELECT p.oid, p.proowner, p.proacl, p.oid::regprocedure::text AS name
	FROM pg_proc p WHERE p.pronamespace = 'berth'::regnamespace
		OR p.pronamespace = 'public'::regnamespace AND p.proname IN ('get_next_available_port', 'get_container_health_status', 'get_container_avg_resource_usage')
)
SELECT concat_ws(' | ', kind, name, definition) FROM (
	SELECT 'relation' AS kind, name, concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity, reloptions::text,
		CASE WHEN pg_get_userbyid(relowner) LIKE 'berth\_%' THEN pg_get_userbyid(relowner) ELSE 'owner' END) AS definition FROM ours
	UNION ALL
	SELECT 'column', o.name || '.' || a.attname, concat_ws(' ', lpad(a.attnum::text, 3), format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))
	FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
	UNION ALL
	SELECT 'constraint', o.name || '.' || c.conname, pg_get_constraintdef(c.oid) FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid
	UNION ALL
	SELECT 'index', o.name, pg_get_indexdef(i.indexrelid) FROM ours o JOIN pg_index i ON i.indrelid = o.oid
	UNION ALL
	SELECT 'trigger', o.name, pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text FROM ours o JOIN pg_trigger g ON g.tgrelid = o.oid AND NOT g.tgisinternal
	UNION ALL
	SELECT 'view', o.name, pg_get_viewdef(o.oid) FROM ours o WHERE o.relkind = 'v'
	UNION ALL
	SELECT 'policy', o.name || '.' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive,
		(SELECT string_agg(pg_get_userbyid(r), ',' ORDER BY 1) FROM unnest(p.polroles) r), pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM ours o JOIN pg_policy p ON p.polrelid = o.oid
	UNION ALL
	SELECT 'function', name, CASE WHEN pg_get_userbyid(proowner) LIKE 'berth\_%' THEN pg_get_userbyid(proowner) ELSE 'owner' END || ' ' || pg_get_functiondef(oid) FROM functions
	UNION ALL
	SELECT 'grant', o.name, concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable)
	FROM ours o, aclexplode(o.relacl) a WHERE a.grantee <> o.relowner
	UNION ALL
	SELECT 'grant', o.name || '.' || t.attname, concat_ws(' ', pg_get_userbyid(a.grantee), a.privilege_type, a.is_grantable)
	FROM ours o JOIN pg_attribute t ON t.attrelid = o.oid, aclexplode(t.attacl) a
	UNION ALL
	SELECT 'grant', f.name, concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC' WHEN (SELECT nspowner FROM pg_namespace WHERE nspname = 'berth') THEN 'owner'
		ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable)
	FROM functions f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a WHERE a.grantee <> f.proowner
	UNION ALL
	SELECT 'schema', nspname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ' ' || a.privilege_type
	FROM pg_namespace n, aclexplode(n.nspacl) a WHERE nspname = 'berth' AND a.grantee <> n.nspowner
) x ORDER BY 1`

// shaped are the objects that are made for the shape of the tables that they
// stand on: their definition differs from project to project.
var shaped = []string{
	"function | berth.my_organizations", "function | berth.put_", "function | berth.know_organization", "function | berth.drop_membership",
	"view | berth.",
}
