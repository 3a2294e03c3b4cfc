package webrtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// logFactory passes pion's warnings and errors on to slog at debug level: most are about a peer that is
// gone, which the session reports itself. The rest is dropped.
type logFactory struct{ logger *slog.Logger }

// LoggerFactory returns what passes the messages of pion's packages on to logger, as an Engine does.
func LoggerFactory(logger *slog.Logger) logging.LoggerFactory { return logFactory{logger} }

func (f logFactory) NewLogger(scope string) logging.LeveledLogger {
	return leveledLogger{logger: f.logger, scope: scope}
}

type leveledLogger struct {
	logger *slog.Logger
	scope  string
}

func (l leveledLogger) log(level, text string) {
	l.logger.LogAttrs(context.Background(), slog.LevelDebug, "webrtc library",
		slog.String("scope", l.scope), slog.String("severity", level), slog.String("text", text))
}

func (l leveledLogger) logf(level, format string, args []any) {
	if l.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.log(level, fmt.Sprintf(format, args...))
	}
}

func (l leveledLogger) Trace(string)                      {}
func (l leveledLogger) Tracef(string, ...any)             {}
func (l leveledLogger) Debug(string)                      {}
func (l leveledLogger) Debugf(string, ...any)             {}
func (l leveledLogger) Info(string)                       {}
func (l leveledLogger) Infof(string, ...any)              {}
func (l leveledLogger) Warn(msg string)                   { l.log("warning", msg) }
func (l leveledLogger) Warnf(format string, args ...any)  { l.logf("warning", format, args) }
func (l leveledLogger) Error(msg string)                  { l.log("error", msg) }
func (l leveledLogger) Errorf(format string, args ...any) { l.logf("error", format, args) }
