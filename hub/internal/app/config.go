package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"go.yaml.in/yaml/v3"
)

// Config says how a hub runs. Unknown keys in a file are errors.
type Config struct {
	Data        string `yaml:"data"`         // folder of everything the hub keeps
	Listen      string `yaml:"listen"`       // console and API: HTTP, for a reverse proxy with TLS or for this machine
	EdgeListen  string `yaml:"edge_listen"`  // edges: HTTPS with mutual TLS
	MediaListen string `yaml:"media_listen"` // WebRTC: one UDP port, and ICE over TCP on the same number

	// PublicAddresses are the IP addresses under which browsers and edges reach MediaListen, when
	// they are not this machine's own.
	PublicAddresses []string `yaml:"public_addresses"`

	// AllowPrivateWebhooks lets alerts go to addresses inside the network.
	AllowPrivateWebhooks bool `yaml:"allow_private_webhooks"`
}

// Defaults returns the configuration of a hub that nobody has configured. The console is for
// this machine only until somebody says otherwise; the other ports need credentials anyway.
func Defaults() Config {
	return Config{Data: "hub-data", Listen: "127.0.0.1:8080", EdgeListen: ":8443", MediaListen: ":8189"}
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

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	var errs []error
	if c.Data == "" {
		errs = append(errs, errors.New("data: expected a folder"))
	}
	for _, l := range []struct{ key, address string }{
		{"listen", c.Listen}, {"edge_listen", c.EdgeListen}, {"media_listen", c.MediaListen},
	} {
		if _, _, err := net.SplitHostPort(l.address); err != nil {
			errs = append(errs, fmt.Errorf("%s: expected host:port, such as 127.0.0.1:8080, not %q", l.key, l.address))
		}
	}
	for _, a := range c.PublicAddresses {
		if _, err := netip.ParseAddr(a); err != nil {
			errs = append(errs, fmt.Errorf("public_addresses: expected an IP address, not %q", a))
		}
	}
	return errors.Join(errs...)
}
