package berth

// Labels of every object that Berth makes in an engine. The first two are the
// seed's.
const (
	LabelTenantID     = "com.unite-hub.tenant.id"
	LabelTenantName   = "com.unite-hub.tenant.name"
	LabelInstallation = "com.unite-hub.berth.installation" // which Berth made it
	LabelSeal         = "com.unite-hub.berth.seal"         // proof of that: see engine/docker
	LabelGeneration   = "com.unite-hub.berth.generation"
	LabelService      = "com.unite-hub.berth.service"
	LabelReplica      = "com.unite-hub.berth.replica"
	LabelSpecHash     = "com.unite-hub.berth.spec"
	LabelPort         = "com.unite-hub.berth.port"
)
