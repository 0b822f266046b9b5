package reconcile

// Recheck has a tenant looked at, as after any sign that it may not be as it should.
func (l *Loop) Recheck(organizationID string) { l.queue.add(organizationID) }
