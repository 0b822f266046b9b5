package berth

import "time"

// Forecast is the way that an order would take if it were given now and every
// step succeeded. Nothing was changed to find it out.
type Forecast struct {
	Steps []ForecastStep // in the order in which they would be taken

	ServedBefore bool // requests are answered as things stand
	ServesAfter  bool // and are in the end
	Downtime     bool // requests that are answered now wait or are refused meanwhile, or from then on

	HeldAtMost time.Duration // for how long the edge may keep requests waiting, all in all
	AtMost     time.Duration // for how long all of it may take, at its deadlines

	Failure string // why it would fail, though no step does; "" if it would not

	Changes []ForecastChange // of what the tenant is

	LeftBehind []string // in words, where a service begins empty and which volumes keep the data; only of an order that says it is meant
}

// ForecastChange is one thing that a tenant would be after an order and is not
// now. Of a variable it says that it is set, never its value.
type ForecastChange struct {
	Field    string // as the API calls it; environment.NAME
	From, To string // "" for nothing
}

// ForecastStep is one part of that way. What a deployment's history calls a step
// it is called here too; several parts of one step have the same name.
type ForecastStep struct {
	Name     string
	Text     string        // what it does, for people
	Service  string        // "" where it is about the whole tenant
	Replicas []int         // of the service
	Stops    bool          // something that runs is stopped
	Holds    bool          // requests wait meanwhile
	AtMost   time.Duration // 0: at once
}
