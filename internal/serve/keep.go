package serve

import (
	"strconv"
	"time"
)

// checkKept says what is wrong with how long and how much is kept.
func (c Config) checkKept() error {
	switch {
	case c.KeepChecks < time.Hour:
		return invalid("keep-checks", c.KeepChecks.String(), "must be 1h or more", "give a duration such as 24h")
	case c.KeepMinutes < 2*time.Hour:
		return invalid("keep-minutes", c.KeepMinutes.String(), "must be 2h or more", "give a duration such as 48h; hours are made of minutes")
	case c.KeepHours < 48*time.Hour:
		return invalid("keep-hours", c.KeepHours.String(), "must be 48h or more", "give a duration such as 2160h; days are made of hours")
	case c.KeepDays < 48*time.Hour:
		return invalid("keep-days", c.KeepDays.String(), "must be 48h or more", "give a duration such as 26280h")
	case c.KeepDeployments != 0 && (c.KeepDeployments < 10 || c.KeepDeployments > 1000):
		return invalid("keep-deployments", strconv.Itoa(c.KeepDeployments), "must be 10 to 1000, or 0", "give a number such as 100; 0 keeps all")
	case c.KeepRemoved != 0 && c.KeepRemoved < 48*time.Hour:
		return invalid("keep-removed", c.KeepRemoved.String(), "must be 48h or more, or 0", "give a duration such as 26280h; 0 keeps it for ever")
	case c.KeepAccess != 0 && c.KeepAccess < 24*time.Hour:
		return invalid("keep-access", c.KeepAccess.String(), "must be 24h or more, or 0", "give a duration such as 720h; 0 keeps it for ever")
	}
	return nil
}
