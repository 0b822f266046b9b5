package serve

import (
	"io"
	stdlog "log"
	"log/slog"
)

func newLogger(c Config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, invalid("log-level", c.LogLevel, "must be debug, info, warn or error", "use info")
	}
	o := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	default:
		return nil, invalid("log-format", c.LogFormat, "must be text or json", "use text")
	}
}

// quietLibraries has what libraries print by the standard logger logged at debug.
// net/http prints there what a tenant sends unasked on an idle connection: a line of
// up to 16 KiB for each request, by which a tenant could fill the disk that has the log.
func quietLibraries(log *slog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
}
