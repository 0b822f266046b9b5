package berth

// Status is where a tenant is in its life, as last seen.
type Status string

const (
	StatusPending        Status = "pending"        // recorded; nothing done yet
	StatusProvisioning   Status = "provisioning"   // its first stack is being made
	StatusRunning        Status = "running"        // its instances run
	StatusStopped        Status = "stopped"        // its instances exist and do not run, as asked
	StatusSleeping       Status = "sleeping"       // stopped by Berth, to be woken by a request; stores and API know it, nothing sets it yet
	StatusFailed         Status = "failed"         // should run and does not; Cause says why
	StatusDeprovisioning Status = "deprovisioning" // being removed; ends in a tombstone
)

// Health is what is known of whether a running tenant answers.
type Health string

const (
	HealthUnknown   Health = "unknown"
	HealthStarting  Health = "starting"
	HealthHealthy   Health = "healthy"
	HealthUnhealthy Health = "unhealthy"
)

// Order is what an actor can ask of a tenant that exists.
type Order string

const (
	OrderStart       Order = "start"
	OrderStop        Order = "stop"
	OrderRestart     Order = "restart"
	OrderScale       Order = "scale"
	OrderDeploy      Order = "deploy"
	OrderRollback    Order = "rollback"
	OrderConfigure   Order = "configure"
	OrderDeprovision Order = "deprovision"
)

// Overrides reports whether o may replace a deployment that is still under
// way. Stopping and deprovisioning do: an operator must never have to wait for a
// start that hangs in order to end it. Every other order is refused until the one
// before it is over. An organization's own people may be refused a stop for what it
// would undo.
func (o Order) Overrides() bool { return o == OrderStop || o == OrderDeprovision }

// refusals lists the orders that a status rules out, each with its code. What
// is not listed is allowed.
var refusals = map[Status]map[Order]Code{
	StatusRunning: {OrderStart: CodeAlreadyRunning},
	StatusStopped: {OrderStop: CodeAlreadyStopped},
	StatusDeprovisioning: {
		OrderStart: CodeDeprovisioning, OrderStop: CodeDeprovisioning, OrderRestart: CodeDeprovisioning,
		OrderScale: CodeDeprovisioning, OrderDeploy: CodeDeprovisioning, OrderRollback: CodeDeprovisioning,
		OrderConfigure: CodeDeprovisioning,
	},
}

// Refusal returns why a tenant in status s can't take order o, or nil. It does
// not look at deployments under way: see Overrides.
func (s Status) Refusal(o Order) error {
	switch code := refusals[s][o]; code {
	case "":
		return nil
	case CodeAlreadyRunning:
		return Errorf(code, "Container is already running").WithHint("restart it, or stop it first")
	case CodeAlreadyStopped:
		return Errorf(code, "Container is already stopped").WithHint("start it, or deprovision it")
	default:
		return Errorf(code, "Tenant is being deprovisioned").WithHint("wait until it is gone, then provision it again")
	}
}
