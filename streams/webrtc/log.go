package webrtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// logFactory hands pion's warnings and errors to slog at debug level: most tell of a peer that
// went away, which the session reports in its own words. The rest is dropped.
type logFactory struct{ logger *slog.Logger }

func (f logFactory) NewLogger(scope string) logging.LeveledLogger {
	return leveled{logger: f.logger, scope: scope}
}

type leveled struct {
	logger *slog.Logger
	scope  string
}

func (l leveled) log(level, text string) {
	l.logger.LogAttrs(context.Background(), slog.LevelDebug, "webrtc library",
		slog.String("scope", l.scope), slog.String("severity", level), slog.String("text", text))
}

func (l leveled) logf(level, format string, args []any) {
	if l.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.log(level, fmt.Sprintf(format, args...))
	}
}

func (l leveled) Trace(string)                      {}
func (l leveled) Tracef(string, ...any)             {}
func (l leveled) Debug(string)                      {}
func (l leveled) Debugf(string, ...any)             {}
func (l leveled) Info(string)                       {}
func (l leveled) Infof(string, ...any)              {}
func (l leveled) Warn(msg string)                   { l.log("warning", msg) }
func (l leveled) Warnf(format string, args ...any)  { l.logf("warning", format, args) }
func (l leveled) Error(msg string)                  { l.log("error", msg) }
func (l leveled) Errorf(format string, args ...any) { l.logf("error", format, args) }
