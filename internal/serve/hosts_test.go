package serve

import "testing"

func TestAHostNameThatTheAPISharesWithTenantsIsFound(t *testing.T) {
	for what, c := range map[string]struct{ listen, public, tenants, want string }{
		"the defaults":                         {"127.0.0.1:3008", "", "localhost", "localhost"},
		"every address":                        {"0.0.0.0:3008", "", "apps.example.com", "apps.example.com"},
		"every address, without saying so":     {":3008", "", "apps.example.com", "apps.example.com"},
		"every address of IPv6":                {"[::]:3008", "", "apps.example.com", "apps.example.com"},
		"the same address":                     {"192.0.2.1:3008", "", "192.0.2.1", "192.0.2.1"},
		"the same name behind a proxy":         {"127.0.0.1:3008", "https://Example.com./", "example.com", "example.com"},
		"a name of its own":                    {"127.0.0.1:3008", "https://berth.example.com", "apps.example.com", ""},
		"a name of its own on every address":   {"0.0.0.0:3008", "https://berth.example.com", "apps.example.com", ""},
		"behind a proxy whose name is unknown": {"127.0.0.1:3008", "", "apps.example.com", ""},
		"another address":                      {"192.0.2.1:3008", "", "192.0.2.2", ""},
	} {
		config := Config{Listen: c.listen, PublicHost: c.tenants, SignIn: SignIn{PublicURL: c.public}}
		if got := config.sharedHost(); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
