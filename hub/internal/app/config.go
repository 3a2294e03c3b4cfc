package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gridpost/hub/internal/access"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/oidc"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/retention"
	"gridpost/hub/internal/web"
)

// Config is the configuration of a hub. Unknown keys in a file are errors.
type Config struct {
	Data        string `yaml:"data"`         // folder of everything the hub keeps
	Database    string `yaml:"database"`     // URL of a PostgreSQL database; empty: SQLite in Data
	Listen      string `yaml:"listen"`       // console and API: HTTP, for a reverse proxy with TLS or for this machine
	EdgeListen  string `yaml:"edge_listen"`  // edges: HTTPS with mutual TLS
	MediaListen string `yaml:"media_listen"` // WebRTC: one UDP port, and ICE over TCP on the same number

	// PublicAddresses are the IP addresses under which browsers and edges reach MediaListen, when
	// they are not this machine's own.
	PublicAddresses []string `yaml:"public_addresses"`

	Turn TurnConfig `yaml:"turn"`

	// Origins are the origins of other web pages that may use the API and live video with a token, such as
	// https://maps.example, in small letters. The console itself needs no entry.
	Origins []string `yaml:"origins"`

	// Relays are the origins of relays elsewhere, such as https://relay.example, in small letters. Each edge publishes to
	// one of them and its viewers watch there; PublicURL is needed then. Empty: live video passes through this hub.
	Relays []string `yaml:"relays"`

	// PublicURL is the URL under which browsers and other systems reach the console and the API, such as that of a
	// reverse proxy: links in alerts begin with it. Empty: http:// and the address of Listen.
	PublicURL string `yaml:"public_url"`

	// OIDC is the OpenID Connect provider at which users log in. It sends browsers back to
	// PublicURL/api/v1/session/oidc/callback.
	OIDC oidc.Config `yaml:"oidc"`

	// MaxViewers is how many viewers of live video the hub serves at the same time.
	MaxViewers int `yaml:"max_viewers"`

	// AllowPrivateWebhooks lets alerts go to addresses inside the network.
	AllowPrivateWebhooks bool `yaml:"allow_private_webhooks"`

	// WebhookGiveUpAfter is the age at which an alert that a webhook target does not accept is given up.
	WebhookGiveUpAfter time.Duration `yaml:"webhook_give_up_after"`

	// Limits bound what one user or token uses at the same time.
	Limits access.Limits `yaml:"limits"`

	// Demo says that the devices are simulated. The console then explains at the first visit what is being seen.
	Demo bool `yaml:"demo"`

	Retention retention.Config `yaml:"retention"`

	Audit AuditConfig `yaml:"audit"`

	// MonitorEvidence says which evidence monitors may see; empty: all.
	MonitorEvidence web.MonitorEvidence `yaml:"monitor_evidence"`
}

// DatabaseVariable is the environment variable for Config.Database: unlike an argument, no list of processes
// shows the password in it.
const DatabaseVariable = "GRIDPOST_DATABASE"

// AuditKeyVariable is the environment variable with the path of AuditConfig.KeyFile, for commands.
const AuditKeyVariable = "GRIDPOST_AUDIT_KEY"

// Defaults returns the default configuration. The console listens on the loopback interface only; the
// other ports require credentials.
func Defaults() Config {
	return Config{Data: "hub-data", Listen: "127.0.0.1:8080", EdgeListen: ":8443", MediaListen: ":8189", MaxViewers: relay.DefaultMaxViewers, WebhookGiveUpAfter: notify.GiveUpAfter, Limits: access.DefaultLimits(), Retention: retention.Defaults(), Audit: defaultAudit(), OIDC: oidc.Defaults()}
}

// Load reads a file over the defaults. An empty path gives the defaults.
func Load(path string) (Config, error) {
	c := Defaults()
	if path == "" {
		return c, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	return c, nil
}

// Check returns an error that names every key that is wrong.
func (c Config) Check() error {
	var errs []error
	for _, f := range c.problems() {
		errs = append(errs, fmt.Errorf("%s: %s", f.Key, f.Text))
	}
	return errors.Join(errs...)
}

// problems returns what is wrong with the values of the keys, without trying them.
func (c Config) problems() (all []Finding) {
	wrong := func(key, format string, args ...any) {
		all = append(all, Finding{Key: key, Level: Problem, Text: fmt.Sprintf(format, args...)})
	}
	if c.Data == "" {
		wrong("data", "expected a folder")
	}
	for _, l := range []struct{ key, address string }{
		{"listen", c.Listen}, {"edge_listen", c.EdgeListen}, {"media_listen", c.MediaListen},
	} {
		_, port, err := net.SplitHostPort(l.address)
		if err != nil {
			wrong(l.key, "expected host:port, such as 127.0.0.1:8080, not %q", l.address)
			continue
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			wrong(l.key, "expected a port from 0 to 65535, not %q", port)
		}
	}
	for _, a := range c.PublicAddresses {
		if _, err := netip.ParseAddr(a); err != nil {
			wrong("public_addresses", "expected an IP address, not %q", a)
		}
	}
	c.Turn.problems(wrong)
	c.relayProblems(wrong)
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ToLower(u.Scheme+"://"+u.Host) != o {
			wrong("origins", "expected an origin such as https://maps.example, not %q", o)
		}
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "") {
		wrong("public_url", "expected a URL such as https://desk.example")
	}
	if c.MaxViewers < 0 || c.MaxViewers > 10_000 { // 0: the default
		wrong("max_viewers", "expected 1 to 10000, not %d", c.MaxViewers)
	}
	if d := c.WebhookGiveUpAfter; d != 0 && (d < time.Hour || d > 30*24*time.Hour) {
		wrong("webhook_give_up_after", "expected 1h to 720h, not %s", d)
	}
	for _, l := range c.Limits.Keys() {
		if l.Value < 0 || l.Value > access.MaxLimit {
			wrong("limits."+l.Key, "expected 1 to %d, not %d", access.MaxLimit, l.Value)
		}
	}
	if c.OIDC.Enabled() && c.PublicURL == "" {
		wrong("public_url", "expected a URL, which the provider of oidc sends browsers back to")
	}
	if err := errors.Join(c.Retention.Check(), c.OIDC.Check()); err != nil {
		for line := range strings.Lines(err.Error()) { // one for each key
			key, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
			wrong(key, "%s", text)
		}
	}
	if !c.MonitorEvidence.Valid() {
		wrong("monitor_evidence", "expected all, open or none, not %q", c.MonitorEvidence)
	}
	for _, err := range c.Audit.Heads.Check() {
		key, text, _ := strings.Cut(err.Error(), ": ")
		wrong("audit.heads."+key, "%s", text)
	}
	return all
}
