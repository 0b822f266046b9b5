package metrics

// Names returns the name of every metric that a Collector can export.
func Names() (names []string) {
	for _, m := range tenantMetrics() {
		names = append(names, m.name)
	}
	for _, m := range hostMetrics() {
		names = append(names, m.name)
	}
	return names
}
