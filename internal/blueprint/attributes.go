package blueprint

// Attribute is one row of the table of what Berth makes of the Compose
// Specification. docs/blueprint.md shows it; a test holds it against the
// specification's own schema, so that nothing new is ever ignored in silence.
type Attribute struct {
	Path   string      // services.*.image; * is any name
	Kind   FindingKind // "" for honoured
	Note   string      // what Berth makes of it, or why it does not
	Way    string      // the way out, where it is not honoured
	Sample string      // a value that is refused, as YAML
	inner  bool        // the table has rows for what is inside
	young  bool        // blueprints may be stored that have it: it was ignored once
}

func honoured(path, note string) Attribute { return Attribute{Path: path, Note: note} }
func within(path, note string) Attribute   { return Attribute{Path: path, Note: note, inner: true} }
func forbids(path, sample, why, way string) Attribute {
	return Attribute{Path: path, Kind: Forbidden, Note: why, Way: way, Sample: sample}
}
func notYet(path, sample, why, way string) Attribute {
	return Attribute{Path: path, Kind: NotSupported, Note: why, Way: way, Sample: sample}
}

// onceIgnored is notYet for what older versions did not notice.
func onceIgnored(path, sample, why, way string) Attribute {
	row := notYet(path, sample, why, way)
	row.young = true
	return row
}

const (
	leaveOut     = "leave it out"
	sayImage     = "build the image yourself and name it with image"
	sayEnv       = "put the variables into environment, and what differs by tenant into x-berth.variables"
	ownIsolation = "it would open the wall between the tenant and the host"
	ownLimits    = "a tenant's limits are CPU, memory and disk; this one is not among them"
	ownDNS       = "names are resolved by the engine inside the tenant's own network"
	oneHost      = "a tenant is on one engine; there is nothing to choose"
)

// Attributes lists every attribute of the Compose Specification, top level
// first, then services, networks and volumes.
func Attributes() []Attribute {
	var all []Attribute
	for _, part := range [][]Attribute{topAttributes(), serviceAttributes(), isolationAttributes(), lifecycleAttributes(), deployAttributes(), storageAttributes()} {
		all = append(all, part...)
	}
	return all
}

func topAttributes() []Attribute {
	return []Attribute{
		honoured("name", "the blueprint's name: a-z, 0-9 and -"),
		honoured("version", "ignored by the specification itself; accepted"),
		within("services", "the programs of a tenant, 1 to 10"),
		within("services.*", ""),
		within("networks", "at most one, a bridge: every tenant has one network of its own, with all its services in it, whether they name it or not"),
		within("networks.*", ""),
		within("volumes", "named volumes, at most 16"),
		within("volumes.*", ""),
		notYet("configs", "{a: {content: x}}", "files can't be delivered to a tenant yet", "put the file into the image, or its content into environment"),
		within("secrets", "the tenant's variables that services get as files in memory"),
		within("secrets.*", ""),
		honoured("secrets.*.environment", "the tenant's variable that holds it; required, and a secret"),
		forbids("secrets.*.file", "./a", "files of the host are not read: they are not part of the blueprint's version", "name the tenant's variable with environment"),
		forbids("secrets.*.external", "true", "it would be one for all tenants", "name the tenant's variable with environment"),
		notYet("secrets.*.name", "a", "a secret is each tenant's own", leaveOut),
		notYet("secrets.*.content", "a", "a secret that stands in a file is none", "name the tenant's variable with environment"),
		notYet("secrets.*.labels", "{a: b}", "a secret is no object of the engine's", leaveOut),
		notYet("secrets.*.driver", "a", "Berth delivers secrets itself", leaveOut),
		notYet("secrets.*.driver_opts", "{a: b}", "Berth delivers secrets itself", leaveOut),
		notYet("secrets.*.template_driver", "a", "Berth delivers secrets itself", leaveOut),
		forbids("include", "[other.yml]", "a blueprint is one file: another one could change without a new version", "put everything into one file"),
		notYet("models", "{a: {model: x}}", "models are not run", leaveOut),
		notYet("jobs", "{a: {image: x}}", "jobs on a schedule are not run", "use a service that keeps the schedule itself; restart: \"no\" makes one that runs once per release"),
	}
}

// serviceAttributes are what a program is and how it runs.
func serviceAttributes() []Attribute {
	s := func(name string) string { return "services.*." + name }
	return []Attribute{
		honoured(s("image"), "a full reference, literal; a tenant's image tag replaces the tag of the main service's image and of all others from the same repository"),
		honoured(s("command"), "as in compose; may refer to variables"),
		honoured(s("entrypoint"), "as in compose; may refer to variables"),
		honoured(s("working_dir"), "an absolute path"),
		honoured(s("user"), "required, by numbers as UID:GID, each from 1 to 2147483647: a name can be root in the image"),
		honoured(s("environment"), "may refer to variables; a name without a value passes the tenant's variable on"),
		honoured(s("labels"), "may refer to variables; com.unite-hub.*, com.docker.* and traefik.*, in small or capital letters, are Berth's own"),
		honoured(s("container_name"), "only tenant_${TENANT_ID}, on the main service: Berth names containers"),
		within(s("ports"), "only the main service's port, as \"3000\" or \"${EXTERNAL_PORT}:3000\": the edge publishes it"),
		honoured(s("ports[].target"), "where the main service listens"),
		honoured(s("ports[].published"), "only ${EXTERNAL_PORT}, which it is anyhow"),
		honoured(s("ports[].protocol"), "tcp"),
		honoured(s("ports[].mode"), "ingress"),
		notYet(s("ports[].host_ip"), "127.0.0.1", "the edge publishes one port, where --tenant-listen says", leaveOut),
		onceIgnored(s("ports[].name"), "web", "a service has one port, which needs no name", leaveOut),
		onceIgnored(s("ports[].app_protocol"), "http", "the edge passes HTTP on, whatever a port says of itself", leaveOut),
		honoured(s("expose"), "says nothing more inside one network; on the main service it names the port"),
		honoured(s("restart"), "always, unless-stopped and on-failure: Berth keeps the service running; \"no\" makes one that runs once per release"),
		honoured(s("init"), "true: an init reaps orphans where the engine has one"),
		honoured(s("stop_signal"), "as in compose"),
		honoured(s("stop_grace_period"), "whole seconds, at most 5 minutes; 10 s if left out"),
		honoured(s("read_only"), "true: the root file system always is; name what is written in volumes, tmpfs or x-berth.writable"),
		honoured(s("pull_policy"), "missing: an image that the engine has is not pulled again"),
		honoured(s("scale"), "as deploy.replicas"),
		honoured(s("cpus"), "cores that the service asks for, in hundredths; the same as deploy.resources.limits.cpus if both are there"),
		honoured(s("mem_limit"), "as deploy.resources.limits.memory, and the same if both are there"),
		honoured(s("mem_reservation"), "accepted up to the limit; Berth reserves a quarter of a core and 256 MB, or the limit if that is less"),
		honoured(s("pids_limit"), "processes and threads, 1 to 4096; 256 if left out"),
		honoured(s("shm_size"), "at most 1 GB, rounded up to whole MB; counts as memory"),
		honoured(s("cap_drop"), "accepted: all capabilities are dropped anyhow"),
		honoured(s("security_opt"), "only no-new-privileges:true, which is set anyhow"),
		notYet(s("group_add"), "[\"1000\"]", "further groups are not given yet", "name one group in user"),
		notYet(s("build"), ".", "Berth builds no images", sayImage),
		notYet(s("stdin_open"), "true", "nobody is at the other end of a tenant's standard input", leaveOut),
		notYet(s("tty"), "true", "nobody is at a tenant's terminal", leaveOut),
		notYet(s("attach"), "true", "output is kept by the engine; berth logs shows it", leaveOut),
		notYet(s("annotations"), "{a: b}", "annotations are not passed on", "use labels"),
		notYet(s("develop"), "{watch: []}", "tenants run releases, not source trees", leaveOut),
		notYet(s("profiles"), "[debug]", "every service of a blueprint runs", "take the service out of the blueprint"),
		forbids(s("extends"), "{service: other}", "a blueprint is one file, and each service stands for itself", "write the attributes out, or use a YAML anchor"),
		forbids(s("env_file"), "[.env]", "files of the host are not read: they are not part of the blueprint's version", sayEnv),
		forbids(s("label_file"), "[labels]", "files of the host are not read: they are not part of the blueprint's version", "put the labels into labels"),
		notYet(s("provider"), "{type: x}", "programs of the host are not run", leaveOut),
		notYet(s("models"), "[a]", "models are not run", leaveOut),
		notYet(s("platform"), "linux/arm64", oneHost, leaveOut),
		notYet(s("pull_refresh_after"), "1h", "an image is resolved at each deployment", leaveOut),
		notYet(s("umask"), "\"0077\"", "the image decides", "set it in the image's entry point"),
		notYet(s("logging"), "{driver: syslog}", "logs are kept by the engine, three files of 10 MB each, so that no tenant fills the disk", leaveOut),
		notYet(s("ulimits"), "{nofile: 100}", "Berth sets 16,384 open files", leaveOut),
		notYet(s("hostname"), "web", "containers are found by the name of their service", leaveOut),
		notYet(s("domainname"), "example.com", ownDNS, leaveOut),
		notYet(s("configs"), "[a]", "files can't be delivered to a tenant yet", "put the file into the image, or its content into environment"),
		within(s("secrets"), "names of secrets; each is the file /run/secrets/NAME, in memory, of mode 0400 and the service's user, before its program starts"),
		honoured(s("secrets[].source"), "one that secrets declares"),
		honoured(s("secrets[].target"), "the file's name in /run/secrets; the secret's if left out"),
		honoured(s("secrets[].mode"), "0400"),
		notYet(s("secrets[].uid"), "\"1000\"", "the file is the service's user's", leaveOut),
		notYet(s("secrets[].gid"), "\"1000\"", "the file is the service's user's", leaveOut),
		notYet(s("links"), "[db]", "it is an older way to name services", "services find each other by their names; for another name use networks.default.aliases"),
	}
}

// isolationAttributes are what would weaken the wall around a tenant.
func isolationAttributes() []Attribute {
	s := func(name string) string { return "services.*." + name }
	return []Attribute{
		forbids(s("privileged"), "true", "a privileged container owns the host and all other tenants", "ask for single capabilities in x-berth.capabilities"),
		forbids(s("cap_add"), "[SYS_ADMIN]", "capabilities are asked for in one place", "x-berth.capabilities takes NET_BIND_SERVICE, CHOWN, FOWNER, SETUID, SETGID and KILL"),
		forbids(s("devices"), "[/dev/kvm]", ownIsolation, leaveOut),
		forbids(s("device_cgroup_rules"), "[\"c 1:3 mr\"]", ownIsolation, leaveOut),
		notYet(s("gpus"), "all", "devices are not given to tenants", leaveOut),
		forbids(s("volumes_from"), "[db]", "it would mount what another service was given, and more than the blueprint says", "name the volumes under volumes"),
		forbids(s("pid"), "host", "the host's processes are no tenant's business", leaveOut),
		forbids(s("ipc"), "host", "shared memory of others is no tenant's business", leaveOut+"; it is private"),
		forbids(s("uts"), "host", "a tenant must not name the host", leaveOut),
		forbids(s("userns_mode"), "host", ownIsolation, leaveOut),
		forbids(s("cgroup"), "host", ownIsolation, leaveOut+"; it is private"),
		forbids(s("cgroup_parent"), "x", "a tenant's limits would not hold", leaveOut),
		forbids(s("network_mode"), "host", "a tenant in another network reaches others", leaveOut+": every tenant has a network of its own"),
		forbids(s("use_api_socket"), "true", "whoever has the engine's socket owns the host", leaveOut),
		forbids(s("runtime"), "x", "the runtime is the operator's choice for all tenants", leaveOut),
		forbids(s("isolation"), "process", "isolation is the operator's choice for all tenants", leaveOut),
		forbids(s("credential_spec"), "{file: x}", "files of the host are not read", leaveOut),
		forbids(s("sysctls"), "{net.core.somaxconn: 1024}", "settings of the kernel are not a tenant's", leaveOut),
		forbids(s("oom_kill_disable"), "true", "a tenant that can't be ended takes the host with it", leaveOut),
		forbids(s("oom_score_adj"), "-500", "a tenant would have others ended in its place", leaveOut),
		forbids(s("extra_hosts"), "[\"a:10.0.0.1\"]", "names would lead out of the tenant's network", "use the service's name, or an address in a variable"),
		forbids(s("external_links"), "[other]", "containers of others are no tenant's business", leaveOut),
		forbids(s("dns"), "8.8.8.8", ownDNS, leaveOut),
		forbids(s("dns_opt"), "[ndots:1]", ownDNS, leaveOut),
		forbids(s("dns_search"), "[example.com]", ownDNS, leaveOut),
		forbids(s("mac_address"), "02:42:ac:11:65:43", "addresses are the engine's to give", leaveOut),
		notYet(s("storage_opt"), "{size: 1G}", "the tenant's disk limit stands in its place", "use x-berth.limits.disk_mb"),
		notYet(s("blkio_config"), "{weight: 300}", ownLimits, leaveOut),
		notYet(s("cpu_count"), "2", ownLimits, "use cpus"),
		notYet(s("cpu_percent"), "50", ownLimits, "use cpus"),
		notYet(s("cpu_period"), "100000", ownLimits, "use cpus"),
		notYet(s("cpu_quota"), "50000", ownLimits, "use cpus"),
		forbids(s("cpu_rt_period"), "1000", "real-time processes starve others", "use cpus"),
		forbids(s("cpu_rt_runtime"), "1000", "real-time processes starve others", "use cpus"),
		notYet(s("cpu_shares"), "512", ownLimits, "use x-berth.shares"),
		notYet(s("cpuset"), "\"0\"", ownLimits, "use cpus"),
		notYet(s("mem_swappiness"), "10", "tenants do not swap", leaveOut),
		notYet(s("memswap_limit"), "1g", "tenants do not swap", leaveOut),
	}
}

// lifecycleAttributes are order, health and hooks.
func lifecycleAttributes() []Attribute {
	s := func(name string) string { return "services.*." + name }
	return []Attribute{
		within(s("depends_on"), "a list, or a map with conditions"),
		within(s("depends_on.*"), ""),
		honoured(s("depends_on.*.condition"), "service_started, service_healthy, service_completed_successfully"),
		honoured(s("depends_on.*.required"), "true"),
		notYet(s("depends_on.*.restart"), "true", "a service is not restarted because another one was", leaveOut),
		within(s("healthcheck"), "run by the engine inside the container; x-berth.health is asked over HTTP from outside"),
		honoured(s("healthcheck.test"), "a list with CMD, CMD-SHELL or NONE, or a text for CMD-SHELL; may refer to variables"),
		honoured(s("healthcheck.interval"), "1 s to 1 h; 30 s if left out"),
		honoured(s("healthcheck.timeout"), "1 s to 1 h; 30 s if left out"),
		honoured(s("healthcheck.retries"), "1 to 100; 3 if left out"),
		honoured(s("healthcheck.start_period"), "0 s to 1 h; 0 s if left out"),
		honoured(s("healthcheck.disable"), "switches the image's own check off"),
		notYet(s("healthcheck.start_interval"), "1s", "Engine API 1.41 does not have it", "use a shorter interval"),
		notYet(s("post_start"), "[{command: [a]}]", "hooks are not run", "do it in the image's entry point"),
		notYet(s("pre_start"), "[{command: [a]}]", "hooks are not run", "use a service with restart: \"no\", which runs once per release before the rest"),
		notYet(s("pre_stop"), "[{command: [a]}]", "hooks are not run", "do it when stop_signal arrives"),
	}
}

func deployAttributes() []Attribute {
	d := func(name string) string { return "services.*.deploy" + name }
	return []Attribute{
		within(d(""), "replicas and resources"),
		honoured(d(".replicas"), "1 to 8; of the main service it is what a tenant gets that asks for none"),
		honoured(d(".mode"), "replicated"),
		within(d(".resources"), ""),
		within(d(".resources.limits"), ""),
		honoured(d(".resources.limits.cpus"), "cores that the service asks for; ${CPU_LIMIT} says nothing: the service gets its share"),
		honoured(d(".resources.limits.memory"), "memory that the service asks for, rounded down to whole MB; ${MEMORY_LIMIT_MB}M says nothing: the service gets its share"),
		honoured(d(".resources.limits.pids"), "as pids_limit, and the same if both are there"),
		within(d(".resources.reservations"), ""),
		honoured(d(".resources.reservations.cpus"), "accepted up to the limit; Berth reserves a quarter of a core and 256 MB, or the limit if that is less"),
		honoured(d(".resources.reservations.memory"), "as above"),
		notYet(d(".resources.reservations.generic_resources"), "[]", ownLimits, leaveOut),
		forbids(d(".resources.reservations.devices"), "[{capabilities: [gpu]}]", ownIsolation, leaveOut),
		notYet(d(".labels"), "{a: b}", "a service has one set of labels", "use the service's labels"),
		notYet(d(".placement"), "{constraints: [a]}", oneHost, leaveOut),
		notYet(d(".restart_policy"), "{condition: none}", "Berth keeps services running", "use restart"),
		notYet(d(".rollback_config"), "{parallelism: 1}", "Berth's own rules hold for every deployment", leaveOut),
		notYet(d(".update_config"), "{parallelism: 1}", "Berth's own rules hold for every deployment", leaveOut),
		notYet(d(".endpoint_mode"), "vip", "the edge distributes requests", leaveOut),
	}
}

// storageAttributes are tmpfs, volumes and networks.
func storageAttributes() []Attribute {
	n := func(name string) string { return "networks.*." + name }
	sn := func(name string) string { return "services.*.networks" + name }
	v := func(name string) string { return "volumes.*." + name }
	m := func(name string) string { return "services.*.volumes[]" + name }
	return []Attribute{
		within("services.*.volumes", "named volumes and tmpfs, at absolute paths outside /etc, /dev, /proc and /sys; never a path of the host"),
		honoured(m(".type"), "volume or tmpfs"),
		honoured(m(".source"), "of a volume: its name under volumes"),
		honoured(m(".target"), "an absolute path"),
		honoured(m(".read_only"), "of a volume"),
		onceIgnored(m(".consistency"), "cached", "says something of Docker Desktop only", leaveOut),
		onceIgnored(m(".bind"), "{propagation: shared}", "nothing of the host is mounted", leaveOut),
		within(m(".volume"), ""),
		onceIgnored(m(".volume.nocopy"), "true", "what the image has at the path is copied into a volume that is empty", leaveOut),
		onceIgnored(m(".volume.subpath"), "a", "a volume is mounted as a whole", "use another volume"),
		onceIgnored(m(".volume.labels"), "{a: b}", "the volume is Berth's", leaveOut),
		within(m(".tmpfs"), ""),
		honoured(m(".tmpfs.size"), "at most 1 GB, rounded up to whole MB; 64 MB if left out"),
		honoured(m(".tmpfs.mode"), "01777, which it is anyhow: whoever the service runs as may write"),
		onceIgnored(m(".image"), "{subpath: a}", "images are not mounted", "put the files into the service's own image"),
		honoured("services.*.tmpfs", "PATH or PATH:size=64m, at most 1 GB; mode=1777 is what it is anyhow, uid and gid are not supported; /tmp always is one"),
		within(sn(""), "the tenant's one network"),
		within(sn(".*"), ""),
		honoured(sn(".*.aliases"), "further names of the service inside the tenant's network"),
		honoured(sn(".*.use_service_name_alias"), "true"),
		notYet(sn(".*.driver_opts"), "{a: b}", "the network is Berth's", leaveOut),
		notYet(sn(".*.gw_priority"), "1", "there is one network", leaveOut),
		notYet(sn(".*.interface_name"), "eth0", "the network is Berth's", leaveOut),
		forbids(sn(".*.ipv4_address"), "10.0.0.1", "addresses are the engine's to give: each tenant has another subnet", "use the service's name"),
		forbids(sn(".*.ipv6_address"), "\"fd00::1\"", "addresses are the engine's to give: each tenant has another subnet", "use the service's name"),
		forbids(sn(".*.link_local_ips"), "[169.254.1.1]", "addresses are the engine's to give", "use the service's name"),
		forbids(sn(".*.mac_address"), "02:42:ac:11:65:43", "addresses are the engine's to give", leaveOut),
		notYet(sn(".*.priority"), "1", "there is one network", leaveOut),
		honoured(n("driver"), "bridge"),
		honoured(n("name"), "only tenant_${TENANT_ID}_network, which it is called anyhow"),
		honoured(n("enable_ipv4"), "true"),
		forbids(n("external"), "true", "tenants in one network reach each other", leaveOut+": every tenant has a network of its own"),
		notYet(n("attachable"), "true", "nothing else joins a tenant's network", leaveOut),
		notYet(n("driver_opts"), "{a: b}", "the network is Berth's", leaveOut),
		notYet(n("enable_ipv6"), "true", "tenants' networks are IPv4", leaveOut),
		notYet(n("internal"), "true", "the wall that enforces it does not stand yet", leaveOut),
		notYet(n("ipam"), "{driver: x}", "each tenant gets a subnet of its own from Berth's pool", leaveOut),
		notYet(n("labels"), "{a: b}", "the network is Berth's", leaveOut),
		honoured(v("driver"), "local"),
		honoured(v("name"), "only tenant_${TENANT_ID}_KEY, which it is called anyhow"),
		forbids(v("external"), "true", "a volume that several tenants mount carries data from one to the other", leaveOut+": each tenant gets a volume of its own"),
		forbids(v("driver_opts"), "{type: none, o: bind, device: /}", "options of the local driver mount any path of the host", leaveOut),
		notYet(v("labels"), "{a: b}", "the volume is Berth's", leaveOut),
	}
}
