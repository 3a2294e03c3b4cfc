package oidc

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/names"
)

// Config says which provider logs users in, and which of its users have which role. Without an issuer there is
// none.
type Config struct {
	Issuer           string    `yaml:"issuer"`             // URL
	ClientID         string    `yaml:"client_id"`          //
	ClientSecretFile string    `yaml:"client_secret_file"` // file with the secret; empty: a public client
	Name             string    `yaml:"name"`               // on the log-in page
	Scopes           []string  `yaml:"scopes"`             // asked for beside openid and profile
	NameClaim        string    `yaml:"name_claim"`         // of the ID token; preferred_username unless set
	RolesClaim       string    `yaml:"roles_claim"`        // of the ID token, a text or an array; groups unless set
	Roles            []Mapping `yaml:"roles"`              // the first whose value is in the claim applies
}

// Mapping gives users with a value in the roles claim a role.
type Mapping struct {
	Value string   `yaml:"value"`
	Role  string   `yaml:"role"`
	Sites []string `yaml:"sites"` // left out: all
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{Name: "OpenID Connect", NameClaim: "preferred_username", RolesClaim: "groups"}
}

// Enabled reports whether there is a provider.
func (c Config) Enabled() bool { return c.Issuer != "" }

// Check returns an error that names every key that is wrong, one in a line.
func (c Config) Check() error {
	if !c.Enabled() {
		return nil
	}
	var errs []error
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLocal(u.Hostname())) {
		errs = append(errs, errors.New("oidc.issuer: expected a URL that begins with https://"))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("oidc.client_id: expected the name of this client at the provider"))
	}
	if len(c.Roles) == 0 {
		errs = append(errs, errors.New("oidc.roles: expected at least one value with its role"))
	}
	for i, m := range c.Roles {
		if _, err := auth.ParseRole(m.Role); err != nil || m.Value == "" {
			errs = append(errs, fmt.Errorf("oidc.roles[%d]: expected a value and a role: monitor, dispatcher or administrator", i))
		}
		for _, site := range m.Sites {
			if names.CheckEdge(site) != nil {
				errs = append(errs, fmt.Errorf("oidc.roles[%d].sites: %q cannot be a site", i, site))
			}
		}
		if m.Sites != nil && len(m.Sites) == 0 {
			errs = append(errs, fmt.Errorf("oidc.roles[%d].sites: expected a site; leave the key out for all", i))
		}
	}
	return errors.Join(errs...)
}

func isLocal(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// ReadSecret reads the client's secret.
func (c Config) ReadSecret() (string, error) {
	if c.ClientSecretFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("reading oidc.client_secret_file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
