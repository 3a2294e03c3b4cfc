package broker

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates reads the broker's certificate again when its file changes, so that a renewed one is used
// without a restart. It is safe for concurrent use.
type certificates struct {
	certificate, key string // paths

	mu     sync.Mutex
	loaded *tls.Certificate // nil: none could be read yet
	at     [2]time.Time     // when the files that were read last had been changed
	err    error            // of the last attempt
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		err := c.check()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.loaded == nil {
			return nil, err
		}
		return c.loaded, nil
	}}
}

// check reads the files if they have changed, and returns what is wrong with them. A certificate that was read
// before stays in use.
func (c *certificates) check() error {
	var at [2]time.Time
	for i, path := range []string{c.certificate, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("reading the broker's certificate: %w", err)
		}
		at[i] = info.ModTime()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at == c.at {
		return c.err
	}
	c.at, c.err = at, nil
	loaded, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		c.err = fmt.Errorf("reading the broker's certificate: %w", err)
		return c.err
	}
	c.loaded = &loaded
	return nil
}
