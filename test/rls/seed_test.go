package rls

// twoOrganizations stores two of them with a living tenant each.
const twoOrganizations = `
	INSERT INTO public.organizations (id, name) VALUES ('` + ours + `', 'Ours'), ('` + theirs + `', 'Theirs');
	INSERT INTO public.tenant_containers (id, organization_id, tenant_name, container_name, external_port, cpu_limit, memory_limit_mb, disk_limit_mb, tenant_url, status)
	VALUES ('` + ourTenant + `', '` + ours + `', 'Ours', 'tenant_1', 3001, 0.5, 512, 2048, 'http://localhost:3001', 'provisioning'),
		('` + theirTenant + `', '` + theirs + `', 'Theirs', 'tenant_2', 3002, 0.5, 512, 2048, 'http://localhost:3002', 'provisioning');`

const (
	ourTenant   = "11111111-0000-4000-8000-000000000001"
	theirTenant = "11111111-0000-4000-8000-000000000002"
)
