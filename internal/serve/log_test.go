package serve

import (
	"bytes"
	stdlog "log"
	"strings"
	"testing"
)

func TestWhatATenantSendsUnaskedDoesNotFillTheLog(t *testing.T) {
	before, flags := stdlog.Writer(), stdlog.Flags()
	defer func() { stdlog.SetOutput(before); stdlog.SetFlags(flags) }()
	for level, want := range map[string]bool{"debug": true, "info": false} {
		var out bytes.Buffer
		log, err := newLogger(Config{LogLevel: level, LogFormat: "text"}, &out)
		if err != nil {
			t.Fatal(err)
		}
		quietLibraries(log)
		stdlog.Printf("Unsolicited response received on idle HTTP channel starting with %q", "x") // as net/http does
		if got := out.String(); strings.Contains(got, "Unsolicited") != want || want && !strings.Contains(got, "level=DEBUG") {
			t.Errorf("at %s: %q", level, got)
		}
	}
}
